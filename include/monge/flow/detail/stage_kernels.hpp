// SPDX-License-Identifier: MIT
/// @file
/// The passes over the state that a Runge-Kutta step is made of.
///
/// Each pass walks over the entries once, in blocks of one cache line, and forms every weighted sum
/// that it needs in registers. The coefficients are compile-time rows, so zeros cost nothing.
/// Nothing here allocates. Scalars that are not built in are taken one by one.
#pragma once

#include <Eigen/Core>

#include <array>
#include <cmath>
#include <limits>
#include <utility>

#include <monge/core/types.hpp>
#include <monge/flow/tableau.hpp>

// What runs once per entry or per stage is always inlined. Left to itself GCC stops inlining in
// large programs, and one call that takes the address of the stages drives all of them out of
// registers.
#if defined(__GNUC__)
#define MONGE_INLINE __attribute__((always_inline))
#else
#define MONGE_INLINE
#endif

namespace monge::flow::detail {

/// The number behind a scalar: the value of an automatic differentiation scalar. Other types can
/// have a `value()` member, a free `val` in their namespace or an explicit conversion to double.
template <FieldScalar S>
double plain_value(S const& s) {
  if constexpr (RealScalar<S>) {
    return static_cast<double>(s);
  } else if constexpr (requires { s.value(); }) {
    return plain_value(s.value());
  } else if constexpr (requires { val(s); }) {
    return plain_value(val(s));
  } else {
    return static_cast<double>(s);
  }
}

/// The rows of a tableau as types: `size` stages enter, with coefficients at(j).
template <class T, int Stage>
struct StageRow {
  static constexpr int size = Stage;
  static constexpr double at(int j) { return T::a[Stage][j]; }
};
template <class T>
struct WeightRow {
  static constexpr int size = T::stages;
  static constexpr double at(int j) { return T::b[j]; }
};
/// The error row but for its last `Missing` stages.
template <class T, int Missing>
struct ErrorRow {
  static constexpr int size = T::stages - Missing;
  static constexpr double at(int j) { return T::error[j]; }
};

/// The stages that enter with a coefficient other than zero.
template <class Row>
struct Nonzeros {
  int count = 0;
  int at[Row::size] = {};

  consteval Nonzeros() {
    for (int j = 0; j < Row::size; ++j) {
      if (Row::at(j) != 0) at[count++] = j;
    }
  }
};
template <class Row>
inline constexpr Nonzeros<Row> nonzeros{};

template <class Row>
using nonzero_sequence = std::make_index_sequence<static_cast<std::size_t>(nonzeros<Row>.count)>;

/// W entries in a row: an Eigen array, or the scalar itself if W is 1.
template <class S, int W>
struct Block {
  using type = Eigen::Array<S, W, 1>;
  static Eigen::Map<type const> load(S const* p) { return Eigen::Map<type const>(p); }
  template <class Value>
  static void store(S* p, Value const& value) {
    Eigen::Map<type>{p} = value;
  }
};
template <class S>
struct Block<S, 1> {
  static S const& load(S const* p) { return *p; }
  static void store(S* p, S const& value) { *p = value; }
};

/// Entries per block: a cache line of built-in numbers.
template <class S>
inline constexpr int block_width = RealScalar<S> ? 64 / static_cast<int>(sizeof(S)) : 1;

/// Small states of fixed size are unrolled, so that they can live in registers.
template <class X>
inline constexpr bool is_small =
    X::SizeAtCompileTime != Eigen::Dynamic && int(X::SizeAtCompileTime) <= 16;

/// Calls visit.template operator()<W>(i) for blocks i .. i + W that cover 0..n.
template <class X, class Visit>
MONGE_INLINE inline void for_blocks(Index n, Visit const& visit) {
  if constexpr (is_small<X>) {
    [&]<Index... I>(std::integer_sequence<Index, I...>) MONGE_INLINE {
      (visit.template operator()<1>(I), ...);
    }(std::make_integer_sequence<Index, X::SizeAtCompileTime>{});
  } else {
    constexpr int width = block_width<scalar_t<X>>;
    Index i = 0;
    for (; i + width <= n; i += width) visit.template operator()<width>(i);
    if constexpr (width > 1) {
      for (; i < n; ++i) visit.template operator()<1>(i);
    }
  }
}

/// The sum of what `visit` returns over all blocks, in an order that depends on the size only.
template <class X, class Visit>
MONGE_INLINE inline double sum_blocks(Index n, Visit const& visit) {
  constexpr int width = block_width<scalar_t<X>>;
  double total = 0;
  if constexpr (is_small<X> || width == 1) {
    for_blocks<X>(n,
                  [&]<int W>(Index i) MONGE_INLINE { total += visit.template operator()<W>(i); });
  } else {
    Eigen::Array<scalar_t<X>, width, 1> lanes;
    lanes.setZero();
    for_blocks<X>(n, [&]<int W>(Index i) MONGE_INLINE {
      if constexpr (W == 1) {
        total += visit.template operator()<W>(i);
      } else {
        lanes += visit.template operator()<W>(i);
      }
    });
    total += static_cast<double>(lanes.sum());
  }
  return total;
}

/// h times the nonzero coefficients of a row, in the scalar of the state.
template <class Row, class S>
MONGE_INLINE inline auto scaled_row(double h) {
  return [h]<std::size_t... I>(std::index_sequence<I...>) MONGE_INLINE {
    return std::array<S, sizeof...(I)>{S(h * Row::at(nonzeros<Row>.at[I]))...};
  }(nonzero_sequence<Row>{});
}

/// sum_j w_j k_j over entries i .. i + W. For built-in scalars an Eigen expression that refers to
/// the stages alone and can be returned; it becomes one loop where it is stored.
template <class Row, int W, class S, std::size_t N, class Stages>
MONGE_INLINE inline auto weighted_sum(std::array<S, N> const& w, Stages const& k, Index i) {
  return [&]<std::size_t... I>(std::index_sequence<I...>) MONGE_INLINE {
    using B = Block<S, W>;
    if constexpr (RealScalar<S>) {
      return (... + (w[I] * B::load(k[nonzeros<Row>.at[I]].data() + i)));
    } else {
      // One by one: expressions of automatic differentiation scalars refer to temporaries.
      S sum(0);
      ((sum += S(w[I] * B::load(k[nonzeros<Row>.at[I]].data() + i))), ...);
      return sum;
    }
  }(nonzero_sequence<Row>{});
}

/// y = x + h sum_j row_j k_j: the argument of a stage.
template <class Row, class X, std::size_t K>
MONGE_INLINE inline void combine(X& y, X const& x, std::array<X, K> const& k, double h) {
  using S = scalar_t<X>;
  auto const w = scaled_row<Row, S>(h);
  for_blocks<X>(x.size(), [&]<int W>(Index i) MONGE_INLINE {
    using B = Block<S, W>;
    B::store(y.data() + i, B::load(x.data() + i) + weighted_sum<Row, W>(w, k, i));
  });
}

/// y = x + h sum_j b_j k_j and e = h sum_j error_j k_j in one pass.
template <class Row, class Error, class X, std::size_t K>
MONGE_INLINE inline void combine_with_error(X& y, X& e, X const& x, std::array<X, K> const& k,
                                            double h) {
  using S = scalar_t<X>;
  auto const w = scaled_row<Row, S>(h);
  auto const v = scaled_row<Error, S>(h);
  for_blocks<X>(x.size(), [&]<int W>(Index i) MONGE_INLINE {
    using B = Block<S, W>;
    B::store(y.data() + i, B::load(x.data() + i) + weighted_sum<Row, W>(w, k, i));
    B::store(e.data() + i, weighted_sum<Error, W>(v, k, i));
  });
}

/// 0 where a block is finite, NaN where not. Unlike a maximum, a sum of these hides no NaN.
template <class B>
auto poison(B const& y) {
  if constexpr (FieldScalar<B>) {
    return 0 * plain_value(y);
  } else {
    return scalar_t<B>(0) * y;
  }
}

/// y = x + h sum_j b_j k_j; true if y is finite.
template <class Row, class X, std::size_t K>
MONGE_INLINE inline bool combine_and_check(X& y, X const& x, std::array<X, K> const& k, double h) {
  using S = scalar_t<X>;
  auto const w = scaled_row<Row, S>(h);
  return sum_blocks<X>(x.size(), [&]<int W>(Index i) MONGE_INLINE {
           using B = Block<S, W>;
           B::store(y.data() + i, B::load(x.data() + i) + weighted_sum<Row, W>(w, k, i));
           return poison(B::load(y.data() + i));
         }) == 0;
}

/// The scale of the error of an entry: absolute + relative * max(|x|, |y|).
struct ErrorScale {
  double absolute, relative;

  /// (e / scale)^2 for a block; NaN if y is not finite.
  template <class E, class B>
  MONGE_INLINE auto squared_ratio(E const& e, B const& x, B const& y) const {
    if constexpr (FieldScalar<B>) {
      using std::abs;
      double const here = abs(plain_value(x)), there = abs(plain_value(y));
      double const q = plain_value(e) / (absolute + relative * (here > there ? here : there));
      return q * q + poison(y);
    } else {
      using S = scalar_t<B>;
      S const floor = std::max(S(absolute), std::numeric_limits<S>::min());
      return (e / (floor + S(relative) * x.abs().max(y.abs()))).square() + poison(y);
    }
  }
};

/// sum_i ((e_i + w k_i) / scale_i)^2: the last pass of a step whose last stage is the next first.
template <class X>
MONGE_INLINE inline double error_sum(X const& e, double weight, X const& k, X const& x, X const& y,
                                     ErrorScale const& scale) {
  using S = scalar_t<X>;
  auto const w = static_cast<S>(weight);
  return sum_blocks<X>(x.size(), [&]<int W>(Index i) MONGE_INLINE {
    using B = Block<S, W>;
    if constexpr (RealScalar<S>) {
      return scale.squared_ratio(B::load(e.data() + i) + w * B::load(k.data() + i),
                                 B::load(x.data() + i), B::load(y.data() + i));
    } else {
      S const last = w * k.data()[i], error = e.data()[i] + last;
      return scale.squared_ratio(error, x.data()[i], y.data()[i]);
    }
  });
}

/// y = x + h sum_j b_j k_j and, in the same pass, sum_i (h sum_j error_j k_ij / scale_i)^2.
template <class Row, class Error, class X, std::size_t K>
MONGE_INLINE inline double combine_and_measure(X& y, X const& x, std::array<X, K> const& k,
                                               double h, ErrorScale const& scale) {
  using S = scalar_t<X>;
  auto const w = scaled_row<Row, S>(h);
  auto const v = scaled_row<Error, S>(h);
  return sum_blocks<X>(x.size(), [&]<int W>(Index i) MONGE_INLINE {
    using B = Block<S, W>;
    B::store(y.data() + i, B::load(x.data() + i) + weighted_sum<Row, W>(w, k, i));
    return scale.squared_ratio(weighted_sum<Error, W>(v, k, i), B::load(x.data() + i),
                               B::load(y.data() + i));
  });
}

/// to = from, where `from` is not needed any more: large states swap their memory, small ones copy,
/// entry by entry, because wide copies of freshly written narrow entries stall.
template <class X>
MONGE_INLINE inline void take(X& to, X& from) {
  if constexpr (is_small<X>) {
    for_blocks<X>(X::SizeAtCompileTime,
                  [&]<int W>(Index i) MONGE_INLINE { to.data()[i] = from.data()[i]; });
  } else {
    to.swap(from);
  }
}

/// The first Count stages, one by one: an index that varies would keep them out of registers.
template <int Count, class X, std::size_t K>
MONGE_INLINE inline void copy_stages(std::array<X, K>& to, std::array<X, K> const& from) {
  [&]<std::size_t... J>(std::index_sequence<J...>)
      MONGE_INLINE { ((to[J] = from[J]), ...); }(std::make_index_sequence<Count>{});
}

/// out = the state at the fraction theta of the step from x to y; the derivative at y is k.back()
/// (the last stage, or the extra slot after the stages).
template <class T, class X, std::size_t K>
void interpolate(X& out, double theta, double h, X const& x, X const& y,
                 std::array<X, K> const& k) {
  using S = scalar_t<X>;
  Hermite const hermite(theta);
  out = x + S(hermite.end) * (y - x);
  out += S(h * hermite.slope_at_start) * k[0];
  out += S(h * hermite.slope_at_end) * k[K - 1];
  if constexpr (InterpolatingTableau<T>) {
    for (int j = 0; j < T::stages; ++j) {
      if (T::interpolant[j] != 0) out += S(h * hermite.bump * T::interpolant[j]) * k[j];
    }
  }
}

}  // namespace monge::flow::detail

#undef MONGE_INLINE
