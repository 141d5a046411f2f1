// SPDX-License-Identifier: MIT
#ifndef EIGEN_RUNTIME_NO_MALLOC
#define EIGEN_RUNTIME_NO_MALLOC
#endif
#include <algorithm>
#include <cmath>
#include <cstdint>
#include <iterator>
#include <limits>
#include <numeric>
#include <random>
#include <set>
#include <stdexcept>
#include <vector>

#include "support/allocations.hpp"
#include "support/catch.hpp"
#include <monge/core/parallel.hpp>
#include <monge/core/random.hpp>

#if __has_include(<Random123/philox.h>)
#include <Random123/philox.h>
#define MONGE_HAVE_RANDOM123
#endif

using monge::Index;
using monge::MatrixX;
using monge::Philox;
using monge::RandomKey;
using monge::VectorX;
namespace random_ = monge::random;
namespace detail = monge::detail;

namespace {

constexpr std::uint64_t all_ones = ~std::uint64_t(0);

struct Quantile {
  std::uint64_t word;
  long double of_52_bits, of_63_bits;
};
constexpr Quantile quantiles[] = {
#include "data/normal_quantiles.inc"
};

/// sup |F_n - F|, times the square root of n: above 1.95 with probability 0.001.
template <class S, class Distribution>
double kolmogorov(VectorX<S> sample, Distribution const& distribution) {
  std::sort(sample.data(), sample.data() + sample.size());
  double const n = static_cast<double>(sample.size());
  double largest = 0;
  for (Index i = 0; i < sample.size(); ++i) {
    double const f = distribution(static_cast<double>(sample[i]));
    largest =
        std::max({largest, f - static_cast<double>(i) / n, static_cast<double>(i + 1) / n - f});
  }
  return largest * std::sqrt(n);
}

double normal_distribution(double x) { return std::erfc(-x / std::sqrt(2.0)) / 2; }

/// A generator over 0 .. 255 and one over 1 .. 6 that yield given values.
template <class Word, Word smallest, Word largest>
struct Scripted {
  using result_type = Word;
  static constexpr Word min() { return smallest; }
  static constexpr Word max() { return largest; }
  std::vector<Word> script;
  std::size_t calls = 0;
  Word operator()() { return script.at(calls++); }
};

}  // namespace

// The published known answers, at compile time. Random123 names them kat_vectors.
static_assert(detail::philox({{0, 0, 0, 0}}, 0, 0) ==
              detail::PhiloxBlock{{0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8}});
static_assert(detail::philox({{0xFFFFFFFF, 0xFFFFFFFF, 0xFFFFFFFF, 0xFFFFFFFF}}, 0xFFFFFFFF,
                             0xFFFFFFFF) ==
              detail::PhiloxBlock{{0x408F276D, 0x41C83B0E, 0xA20BC7C6, 0x6D5451FD}});
static_assert(detail::philox({{0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344}}, 0xA4093822,
                             0x299F31D0) ==
              detail::PhiloxBlock{{0xD16CFE09, 0x94FDCCEB, 0x5001E420, 0x24126EA1}});
static_assert(random_::word({0, 0}, 0) == 0xE169C58D6627E8D5);
static_assert(random_::word({0, 0}, 1) == 0x9B00DBD8BC57AC4C);
static_assert(random_::uniform<double>({1, 2}, 3) > 0);
static_assert(random_::index({1, 2}, 3, 1) == 0);
static_assert(monge::RandomGenerator<Philox> && monge::RandomGenerator<std::mt19937&>);
static_assert(std::uniform_random_bit_generator<Philox>);
static_assert(!monge::RandomGenerator<int> && !monge::RandomGenerator<double (*)()>);

#ifdef MONGE_HAVE_RANDOM123
TEST_CASE("a word is the one that Random123 computes for counter (index / 2, stream), key seed") {
  std::mt19937_64 numbers(1);
  for (int trial = 0; trial < 1000; ++trial) {
    RandomKey const key{numbers(), numbers()};
    std::uint64_t const block = numbers() >> 1;
    auto const low = [](std::uint64_t x) { return static_cast<std::uint32_t>(x); };
    auto const high = [](std::uint64_t x) { return static_cast<std::uint32_t>(x >> 32); };
    philox4x32_ctr_t const counter = {{low(block), high(block), low(key.stream), high(key.stream)}};
    philox4x32_key_t const seed = {{low(key.seed), high(key.seed)}};
    philox4x32_ctr_t const expected = philox4x32(counter, seed);
    REQUIRE(random_::word(key, 2 * block) == (expected.v[0] | std::uint64_t(expected.v[1]) << 32));
    REQUIRE(random_::word(key, 2 * block + 1) ==
            (expected.v[2] | std::uint64_t(expected.v[3]) << 32));
  }
}
#endif

TEST_CASE("Philox yields the words of its key in order, from wherever it is set") {
  RandomKey const key{7, 3};
  Philox rng(key);
  CHECK(rng == Philox(7, 3));
  for (std::uint64_t i = 0; i < 100; ++i) {
    CHECK(rng.position() == i);
    CHECK(rng.at(i) == random_::word(key, i));
    CHECK(rng() == random_::word(key, i));
  }
  for (std::uint64_t skip : {0u, 1u, 2u, 3u, 10u, 11u}) {
    for (std::uint64_t start : {0u, 1u, 2u}) {
      Philox walked(key), jumped(key);
      for (std::uint64_t i = 0; i < start; ++i) {
        CHECK(walked() == jumped());
      }
      for (std::uint64_t i = 0; i < skip; ++i) {
        walked();
      }
      jumped.discard(skip);
      CHECK(walked == jumped);
      Philox copy = jumped;
      for (int i = 0; i < 5; ++i) {
        std::uint64_t const expected = walked();
        CHECK(jumped() == expected);
        CHECK(copy() == expected);
      }
    }
  }
  Philox far(key);
  far.seek(std::uint64_t(1) << 63 | 1);
  CHECK(far() == random_::word(key, std::uint64_t(1) << 63 | 1));
  CHECK(far() == random_::word(key, std::uint64_t(1) << 63 | 2));
  CHECK(far != rng);
  CHECK(Philox(7, 4) != Philox(7, 3));
  CHECK(Philox(8, 3) != Philox(7, 3));
}

TEST_CASE("Philox works with the distributions and algorithms of the standard library") {
  Philox rng(5);
  std::uniform_int_distribution<int> die(1, 6);
  std::vector<int> seen(7);
  for (int i = 0; i < 6000; ++i) {
    ++seen[static_cast<std::size_t>(die(rng))];
  }
  for (std::size_t face = 1; face <= 6; ++face) {
    CHECK(std::abs(seen[face] - 1000) < 130);  // 4.5 standard deviations
  }
  std::vector<int> cards(52);
  std::iota(cards.begin(), cards.end(), 0);
  std::shuffle(cards.begin(), cards.end(), rng);
  CHECK(!std::is_sorted(cards.begin(), cards.end()));
  std::sort(cards.begin(), cards.end());
  for (int i = 0; i < 52; ++i) {
    CHECK(cards[static_cast<std::size_t>(i)] == i);
  }
}

TEMPLATE_TEST_CASE("a uniform deviate lies inside (0, 1) for every word and is symmetric", "",
                   float, double, long double) {
  using S = TestType;
  constexpr int bits = detail::uniform_bits<S>;
  S const smallest = std::ldexp(S(1), -bits - 1);
  CHECK(detail::uniform_from<S>(0) == smallest);
  CHECK(detail::uniform_from<S>(all_ones) == 1 - smallest);
  CHECK(detail::uniform_from<S>(all_ones) < 1);
  CHECK(detail::uniform_from<S>(std::uint64_t(1) << 63) == S(0.5) + smallest);
  CHECK(detail::uniform_from<S>((std::uint64_t(1) << 63) - 1) == S(0.5) - smallest);
  Philox rng(2);
  for (int i = 0; i < 1000; ++i) {
    std::uint64_t const word = rng();
    S const u = detail::uniform_from<S>(word);
    REQUIRE(u == (S(word >> (64 - bits)) + S(0.5)) * 2 * smallest);
    REQUIRE(detail::uniform_from<S>(~word) == 1 - u);
  }
}

TEMPLATE_TEST_CASE("a normal deviate is finite for every word, odd and increasing", "", float,
                   double, long double) {
  using S = TestType;
  S last = -std::numeric_limits<S>::infinity();
  for (Quantile const& q : quantiles) {
    S const x = detail::normal_from<S>(q.word);
    CAPTURE(q.word);
    CHECK(std::isfinite(x));
    CHECK(detail::normal_from<S>(~q.word) == -x);
    CHECK(x >= last);
    last = x;
  }
  CHECK(detail::normal_from<S>(0) < -8);
  CHECK(detail::normal_from<S>(0) > (sizeof(S) > 8 ? S(-9.1) : S(-8.3)));
}

TEST_CASE("normal deviates are the quantiles of their cells") {
  // The bound of the paper is about 1e-16 before rounding; the rest is 2 u of the last operations.
  for (Quantile const& q : quantiles) {
    CAPTURE(q.word);
    long double const in_double = detail::normal_from<double>(q.word);
    CHECK(std::abs(in_double - q.of_52_bits) <= 6e-16L * std::abs(q.of_52_bits));
    long double const in_float = detail::normal_from<float>(q.word);
    CHECK(std::abs(in_float - q.of_52_bits) <= 6.1e-8L * std::abs(q.of_52_bits));
    if (std::numeric_limits<long double>::digits >= 64) {
      long double const x = detail::normal_from<long double>(q.word);
      CHECK(std::abs(x - q.of_63_bits) <= 4e-19L * std::abs(q.of_63_bits));
    }
  }
}

TEST_CASE("the logarithm of the tails is that of the library to 2 units in the last place") {
  Philox rng(11);
  for (int i = 0; i < 20000; ++i) {
    double const p = std::ldexp(0.5 + detail::uniform_from<double>(rng()) / 2, -4 - i % 60);
    long double const expected = -std::log(static_cast<long double>(p));
    REQUIRE(std::abs(detail::minus_log(p) - expected) <= 2.3e-16L * expected);
  }
}

TEMPLATE_TEST_CASE("one index gives the same deviate in every precision, up to its cell", "", float,
                   long double) {
  using S = TestType;
  // Half a cell of the coarser uniform deviate, and what rounding adds to the normal one.
  double const cell = sizeof(S) < 8 ? 0x1p-24 : 0x1p-53;
  for (std::uint64_t i = 0; i < 1000; ++i) {
    RandomKey const key{3, 1};
    double const u = random_::uniform<double>(key, i), x = random_::normal<double>(key, i);
    CHECK(std::abs(static_cast<double>(random_::uniform<S>(key, i) - S(u))) <= 1.01 * cell);
    double const change = static_cast<double>(random_::normal<S>(key, i)) - x;
    double const slope = std::sqrt(2 * 3.14159265358979) * std::exp(x * x / 2);
    CHECK(std::abs(change) <=
          (sizeof(S) < 8 ? 6.1e-8 * std::abs(x) : 1.01 * cell * slope + 6e-16 * std::abs(x)));
  }
}

TEMPLATE_TEST_CASE("a filled matrix holds the keyed deviates, whatever its shape and storage", "",
                   float, double, long double) {
  using S = TestType;
  RandomKey const key{41, 5};
  auto const holds = [&](auto const& X, std::uint64_t first, auto const& deviate) {
    bool same = true;
    for (Index j = 0; j < X.cols(); ++j) {
      for (Index i = 0; i < X.rows(); ++i) {
        same =
            same && X(i, j) == deviate(key, first + static_cast<std::uint64_t>(j * X.rows() + i));
      }
    }
    return same;
  };
  auto const check = [&](auto&& X, std::uint64_t first) {
    CAPTURE(X.rows(), X.cols(), first);
    random_::fill_normal(X, key, first);
    CHECK(holds(X, first, random_::normal<S>));
    random_::fill_uniform(X, key, first);
    CHECK(holds(X, first, random_::uniform<S>));
  };
  for (Index d : {1, 2, 3, 17, 300}) {
    for (Index n : {0, 1, 2, 5, 130}) {
      for (std::uint64_t first : {0u, 1u, 255u, 1000u}) {
        check(MatrixX<S>(d, n), first);
      }
    }
  }
  MatrixX<S> X = MatrixX<S>::Zero(40, 50);
  check(X.block(3, 4, 20, 30), 9);
  CHECK(X.topRows(3).isZero(0));
  CHECK(X.bottomRows(17).isZero(0));
  CHECK(X.leftCols(4).isZero(0));
  CHECK(X.rightCols(16).isZero(0));
  check(X.row(7), 3);
  check(Eigen::Matrix<S, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>(30, 20), 1);
  check(Eigen::Matrix<S, 1, Eigen::Dynamic>(77), 1);
  check(Eigen::Matrix<S, 3, 1>(), 2);
  check(Eigen::Map<VectorX<S>, 0, Eigen::InnerStride<3>>(X.data(), 600), 2);
  check(MatrixX<S>(2, 3), all_ones - 5);  // the last words of a key
}

TEMPLATE_TEST_CASE("a tile gives every word its own deviate, the far tails too", "", float, double,
                   long double) {
  using S = TestType;
  constexpr std::size_t n = detail::tile_words;
  for (std::size_t begin = 0; begin < std::size(quantiles); begin += n / 2) {
    std::uint64_t words[n];
    S normal[n], uniform[n];
    for (std::size_t i = 0; i < n; ++i) {
      words[i] = quantiles[(begin + i) % std::size(quantiles)].word;
    }
    detail::normal_tile(words, normal);
    detail::uniform_tile(words, uniform);
    for (std::size_t i = 0; i < n; ++i) {
      CHECK(normal[i] == detail::normal_from<S>(words[i]));
      CHECK(uniform[i] == detail::uniform_from<S>(words[i]));
    }
    std::fill(std::begin(words), std::end(words), all_ones - begin);  // nothing but tails
    detail::normal_tile(words, normal);
    CHECK(normal[0] == detail::normal_from<S>(all_ones - begin));
    CHECK(std::count(std::begin(normal), std::end(normal), normal[0]) == detail::tile_words);
  }
}

TEST_CASE("filling a matrix allocates nothing") {
  MatrixX<double> X(7, 300);
  CHECK(monge::test::allocations([&] {
          random_::fill_normal(X, {1, 2}, 3);
          random_::fill_uniform(X.topRows(2), {1, 2}, 3);
        }) == 0);
}

TEST_CASE("deviates do not depend on the batch that a sample is drawn in") {
  RandomKey const key{1, 9};
  MatrixX<double> whole(3, 1000);
  random_::fill_normal(whole, key);
  for (Index batch : {1, 7, 64, 999}) {
    MatrixX<double> parts(3, 1000);
    for (Index s = 0; s < 1000; s += batch) {
      random_::fill_normal(parts.middleCols(s, std::min(batch, 1000 - s)), key,
                           static_cast<std::uint64_t>(3 * s));
    }
    CHECK(parts == whole);
  }
}

TEMPLATE_TEST_CASE("uniform deviates are uniform", "", float, double) {
  for (std::uint64_t seed : {1u, 2u, 3u}) {
    VectorX<TestType> x(100000);
    random_::fill_uniform(x, {seed, 0});
    CHECK(kolmogorov(x, [](double u) { return u; }) < 1.95);
    CHECK(std::abs(x.template cast<double>().mean() - 0.5) < 4 / std::sqrt(12e5));
  }
}

TEMPLATE_TEST_CASE("normal deviates are normal", "", float, double, long double) {
  double const n = 100000;
  for (std::uint64_t seed : {1u, 2u, 3u}) {
    VectorX<TestType> x(static_cast<Index>(n));
    random_::fill_normal(x, {seed, 0});
    CHECK(kolmogorov(x, normal_distribution) < 1.95);
    // The powers 1..6 of a standard normal have these means and, over n, these variances.
    Eigen::ArrayXd const y = x.template cast<double>().array();
    CHECK(std::abs(y.mean()) < 4 * std::sqrt(1 / n));
    CHECK(std::abs(y.square().mean() - 1) < 4 * std::sqrt(2 / n));
    CHECK(std::abs(y.cube().mean()) < 4 * std::sqrt(15 / n));
    CHECK(std::abs(y.square().square().mean() - 3) < 4 * std::sqrt(96 / n));
    CHECK(std::abs(y.cube().square().mean() - 15) < 4 * std::sqrt((10395 - 225) / n));
    // Beyond 4 standard deviations: 6.33 expected in 100000; 20 has a probability of 1e-5.
    CHECK((y.abs() > 4).count() < 20);
  }
}

TEST_CASE("neighbouring streams, seeds and indices are uncorrelated") {
  Index const n = 100000;
  VectorX<double> x(n), y(n);
  double const bound = 4 / std::sqrt(static_cast<double>(n));
  for (std::uint64_t k = 0; k < 4; ++k) {
    random_::fill_normal(x, {k, 0});
    random_::fill_normal(y, {k + 1, 0});
    CHECK(std::abs(x.dot(y) / static_cast<double>(n)) < bound);
    CHECK(std::abs(x.cwiseAbs2().dot(y.cwiseAbs2()) / static_cast<double>(n) - 1) < 3 * bound);
    random_::fill_normal(y, {k, 1});
    CHECK(std::abs(x.dot(y) / static_cast<double>(n)) < bound);
    random_::fill_normal(y, {0, k + 1});
    random_::fill_normal(x, {0, k});
    CHECK(std::abs(x.dot(y) / static_cast<double>(n)) < bound);
    for (Index lag : {1, 2, 3, 4}) {
      CHECK(std::abs(x.head(n - lag).dot(x.tail(n - lag)) / static_cast<double>(n)) < bound);
    }
  }
}

TEST_CASE("every bit of the words is a fair coin") {
  std::vector<int> ones(64);
  Philox rng(123);
  int const n = 20000;
  for (int i = 0; i < n; ++i) {
    std::uint64_t const word = rng();
    for (std::size_t b = 0; b < 64; ++b) {
      ones[b] += static_cast<int>(word >> b & 1);
    }
  }
  for (int count : ones) {
    CHECK(std::abs(count - n / 2) < 4.5 * std::sqrt(n / 4.0));
  }
}

TEST_CASE("index is the upper half of a 128-bit product and hits every number equally often") {
  RandomKey const key{2, 0};
  for (Index n : {Index(1), Index(2), Index(7), Index(1000), Index(1) << 40,
                  std::numeric_limits<Index>::max()}) {
    for (std::uint64_t i = 0; i < 200; ++i) {
      Index const k = random_::index(key, i, n);
      REQUIRE(k >= 0);
      REQUIRE(k < n);
#ifdef __SIZEOF_INT128__
      __extension__ using Wide = unsigned __int128;
      REQUIRE(k == static_cast<Index>(Wide(random_::word(key, i)) * Wide(n) >> 64));
#endif
    }
  }
  // Chi-square with 99 degrees of freedom exceeds 148 with probability 0.001.
  std::vector<double> hits(100);
  for (std::uint64_t i = 0; i < 100000; ++i) {
    ++hits[static_cast<std::size_t>(random_::index(key, i, 100))];
  }
  double chi_square = 0;
  for (double h : hits) {
    chi_square += (h - 1000) * (h - 1000) / 1000;
  }
  CHECK(chi_square < 148);
  CHECK(chi_square > 61);  // the lower end: not too even either
  CHECK_THROWS_AS(random_::index(key, 0, 0), std::invalid_argument);
  CHECK_THROWS_WITH(random_::index(key, 0, -3), "random::index: n is -3; it must be at least 1");
}

TEST_CASE("choose draws different numbers, and its first entries do not depend on k") {
  for (Index n : {0, 1, 2, 10, 100, 1000}) {
    VectorX<Index> const order = random_::permutation({6, 2}, n);
    REQUIRE(order.size() == n);
    std::set<Index> const all(order.data(), order.data() + n);
    CHECK(static_cast<Index>(all.size()) == n);
    CHECK((n == 0 || (order.minCoeff() == 0 && order.maxCoeff() == n - 1)));
    for (Index k : {Index(0), Index(1), n / 10, n / 2, n - n / 10, n}) {
      if (k <= n) {
        CHECK(random_::choose({6, 2}, k, n) == order.head(k));
      }
    }
  }
  Index const huge = std::numeric_limits<Index>::max();  // in memory of the order of k
  VectorX<Index> const few = random_::choose({6, 2}, 1000, huge);
  CHECK(std::set<Index>(few.data(), few.data() + 1000).size() == 1000);
  CHECK_THROWS_WITH(
      random_::choose({1, 1}, 5, 4),
      "random::choose: k is 5 and n is 4; k different numbers below n need 0 <= k <= n");
  CHECK_THROWS_AS(random_::choose({1, 1}, -1, 4), std::invalid_argument);
}

TEST_CASE("choose is what Fisher and Yates draw with the full array") {
  for (Index n : {5, 64, 333}) {
    RandomKey const key{8, static_cast<std::uint64_t>(n)};
    VectorX<Index> array = VectorX<Index>::LinSpaced(n, 0, n - 1);
    for (Index i = 0; i < n; ++i) {
      std::swap(array[i], array[i + random_::index(key, static_cast<std::uint64_t>(i), n - i)]);
    }
    for (Index k = 0; k <= n; ++k) {
      REQUIRE(random_::choose(key, k, n) == array.head(k));
    }
  }
}

TEST_CASE("all orders of four numbers are equally likely") {
  std::vector<double> hits(256);
  for (std::uint64_t seed = 0; seed < 24000; ++seed) {
    VectorX<Index> const p = random_::permutation({seed, 0}, 4);
    ++hits[static_cast<std::size_t>(p[0] + 4 * p[1] + 16 * p[2] + 64 * p[3])];
  }
  double chi_square = 0;
  int orders = 0;
  for (double h : hits) {
    if (h > 0) {
      ++orders;
      chi_square += (h - 1000) * (h - 1000) / 1000;
    }
  }
  CHECK(orders == 24);
  CHECK(chi_square < 49.8);  // 23 degrees of freedom, probability 0.001
}

TEST_CASE("key_from takes 64 bits from a generator of any width") {
  Philox rng(4);
  CHECK(monge::key_from(rng) == RandomKey{random_::word({4, 0}, 0), 0});
  CHECK(rng.position() == 1);

  std::mt19937 words(4), copy(4);
  std::uint64_t const low = copy(), high = copy();
  CHECK(monge::key_from(words) == RandomKey{low | high << 32, 0});
  CHECK(words == copy);

  Scripted<std::uint8_t, 0, 255> bytes{{1, 2, 3, 4, 5, 6, 7, 8}};
  CHECK(monge::key_from(bytes) == RandomKey{0x0807060504030201, 0});
  CHECK(bytes.calls == 8);

  // Six values give two bits a draw: 1..4 count, 5 and 6 are rejected.
  Scripted<unsigned, 1, 6> die{std::vector<unsigned>(40, 4)};
  die.script[3] = 5;
  die.script[9] = 6;
  die.script[0] = 1;
  CHECK(monge::key_from(die) == RandomKey{all_ones - 3, 0});
  CHECK(die.calls == 34);

  // 24 bits a draw: the third draw has 8 bits too many.
  Scripted<unsigned, 0, 0xFFFFFF> narrow{{0x111111, 0x222222, 0xAB3333}};
  CHECK(monge::key_from(narrow) == RandomKey{0x3333222222111111, 0});
  std::minstd_rand lcg;
  CHECK(monge::key_from(lcg) != monge::key_from(lcg));
  CHECK(monge::key_from(std::mt19937_64(1)) == RandomKey{std::mt19937_64(1)(), 0});
}
