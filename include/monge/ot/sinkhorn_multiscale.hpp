// SPDX-License-Identifier: MIT
/// @file
/// Entropic transport between large point clouds of few coordinates, at small epsilon.
///
///     auto cloud = monge::ot::point_cloud(X, Y, monge::ot::squared_euclidean{});
///     auto r = monge::ot::sinkhorn_multiscale(cloud, a, b, {.epsilon = 1e-4});
///
/// The problem, the certificate and the result are those of sinkhorn.hpp. Three things make 100 000
/// points feasible. Coarse to fine: the larger epsilons of the annealing are solved between
/// clusters of the points, as small as epsilon can tell apart, and each answer is carried to the
/// next finer clusters by its soft transform, which is a function of position. Truncation: for
/// small epsilon a plan joins each point to few others; a read of the cost goes down a k-d tree and
/// computes only the exponentials that can exceed a share theta of their column
/// (detail/truncated_cloud.hpp). Every read searches anew. Newton: the steps between clusters are
/// those of sinkhorn_newton.hpp, and the system of the last clusters whose plan fits into 2 000 000
/// entries stands for that of all finer ones, the points included (detail/cluster_system.hpp). A
/// step so made costs one read and reduces the error by a factor of 2 to 50 at any epsilon that
/// clusters can tell apart, so that between the points three to eight reads are enough. For an
/// epsilon so small that pairs of points cannot be merged the last level takes the steps of
/// sinkhorn with Anderson's acceleration.
///
/// `marginal_error` is that of the plan rebuilt from the returned potentials over the pairs that
/// were kept, plus twice a bound on the mass of all others, summed cell by cell: so converged means
/// what it means for sinkhorn. theta is tolerance / 200 in the certificate, and the bound at most
/// that. Values (`transport_cost` and so on) leave the same mass out.
///
/// Costs: squared_euclidean, euclidean and p_norm, which grow with every |x_k - y_k|; at most 16
/// coordinates, but a search pays only where epsilon log(1 / theta) is much less than the cost of
/// most pairs: in one to four dimensions. Elsewhere use sinkhorn.
///
/// Cost of an iteration: one exponential per kept pair, about n m (epsilon log(1/theta) / max
/// C)^(d/2) of them, and some per cent for the search and the system. Memory: O((n + m)(d +
/// depth)), of which 40 numbers per point are the acceleration's, and 24 MB for the system; no
/// kernel. `acceleration`, `depth`, `kernel_bytes` and `annealing_iterations` only matter where the
/// last level takes steps of sinkhorn. `iterations` counts reads on all levels; only the last few
/// are between the points themselves.
///
/// [Sc19] B. Schmitzer, Stabilized sparse scaling algorithms for entropy regularized transport
///        problems, SIAM J. Sci. Comput. 41 (2019), sections 3.3 to 3.5.
/// [Fe19] J. Feydy et al., Interpolating between optimal transport and MMD using Sinkhorn
///        divergences, AISTATS 2019: potentials carried by their soft transforms.
/// Deviations: [Sc19] keeps a stored kernel and its pattern for many iterations, refines potentials
/// by copying them to children, and takes plain steps throughout.
#pragma once

#include <algorithm>
#include <cmath>
#include <memory>
#include <string_view>
#include <utility>
#include <vector>

#include <monge/core/certify.hpp>
#include <monge/core/iterate.hpp>
#include <monge/core/require.hpp>
#include <monge/ot/cost.hpp>
#include <monge/ot/detail/cluster_system.hpp>
#include <monge/ot/detail/truncated_cloud.hpp>
#include <monge/ot/detail/truncated_kernel.hpp>
#include <monge/ot/sinkhorn.hpp>
#include <monge/ot/sinkhorn_newton.hpp>

namespace monge::ot {

namespace detail {

template <class F>
inline constexpr bool grows_with_distance = false;
template <>
inline constexpr bool grows_with_distance<squared_euclidean> = true;
template <>
inline constexpr bool grows_with_distance<euclidean> = true;
template <>
inline constexpr bool grows_with_distance<p_norm> = true;

/// One side of the problem: the points with mass, in the order of their tree.
template <RealScalar S>
struct CloudSide {
  std::shared_ptr<CloudTree<S> const> tree;
  VectorX<S> weights;          // in the order of the tree
  std::vector<Index> present;  // which points of the caller have mass

  CloudSide(MatrixX<S> const& points, VectorX<S> const& all) {
    S const mass = all.sum();
    for (Index i = 0; i < all.size(); ++i) {
      if (all(i) / mass >= std::numeric_limits<S>::min()) present.push_back(i);
    }
    tree = std::make_shared<CloudTree<S> const>(MatrixX<S>(points(Eigen::all, present)));
    weights = tree->sorted(all(present));
  }

  /// Clusters of `group` neighbours.
  [[nodiscard]] CloudSide coarse(Index group) const {
    if (group <= 1) return *this;
    CloudSide side;
    auto [centres, sums] = tree->clusters(weights, group);
    side.tree = std::make_shared<CloudTree<S> const>(centres, true);
    side.weights = std::move(sums);
    return side;
  }

  /// The mean squared distance from the centre, in clusters of `group`.
  [[nodiscard]] double spread(Index group) const {
    auto const [centres, sums] = tree->clusters(weights, group);
    double total = 0;
    for (Index i = 0; i < tree->size(); ++i) {
      total +=
          double(weights(i)) *
          double((tree->coordinates().row(i).transpose() - centres.col(i / group)).squaredNorm());
    }
    return total / double(weights.sum());
  }

 private:
  CloudSide() = default;
};

/// Newton's steps at one epsilon.
inline SinkhornNewtonOptions newton_options(SinkhornOptions const& options) {
  SinkhornNewtonOptions newton{.epsilon = options.epsilon, .tolerance = options.tolerance};
  newton.max_iterations = options.max_iterations;
  newton.max_seconds = options.max_seconds;
  newton.observe_every = options.observe_every;
  newton.warmup_iterations = 0;
  newton.annealing = 1;
  newton.parallel = options.parallel;
  return newton;
}

/// Coarse to fine; all vectors in the order of the trees.
template <RealScalar S, class F>
class Multiscale {
 public:
  using Cloud = TruncatedCloud<S, F>;

  Multiscale(F cost, CloudSide<S> const& x, CloudSide<S> const& y, SinkhornOptions const& options,
             double theta)
      : cost_(std::move(cost)), x_(x), y_(y), options_(options), theta_(theta) {}

  [[nodiscard]] Cloud cloud(CloudSide<S> const& x, CloudSide<S> const& y, double theta) const {
    return Cloud(cost_, x.tree, y.tree, theta);
  }

  /// Potentials to start between the points from, and the system of clusters for the steps there.
  Potentials<S> start() {
    Deadline const deadline(options_.max_seconds);
    Annealing<S> const ladder(*options_.epsilon, options_.annealing,
                              cloud(x_, y_, theta_).largest());
    for (Index level = ladder.levels; level >= 0; --level) {
      double const epsilon = double(ladder.blur(level).epsilon);
      Index const group = cluster_size(epsilon);
      if (level == 0 && group == 1) return finest();
      go_to(group);
      at_ = Blur<S>(epsilon);
      if (group > 1) {
        solve(level == 0 ? 1e-3 : 1e-2);
      } else {
        scale();
      }
      if (deadline.passed() || iterations >= options_.max_iterations) return finest();
    }
    make_system();
    for (Index group = group_ / 4; system && group > 1; group /= 4) {
      go_to(group);
      solve(1e-3);
      if (system && 16 * system->nonzeros() <= most_entries) make_system();
      if (deadline.passed() || iterations >= options_.max_iterations) break;
    }
    return finest();
  }

  Index iterations = 0;
  std::shared_ptr<ClusterSystem<S, F> const> system;
  Index system_group = 1;  // points in one of its clusters

 private:
  /// The largest clusters that a plan blurred by epsilon cannot tell from their centres: costs
  /// within them are below a quarter of epsilon.
  [[nodiscard]] Index cluster_size(double epsilon) {
    Index const fewest = 64;  // clusters
    if (spread_.empty()) {
      for (Index group = 2; group * fewest <= std::min(x_.tree->size(), y_.tree->size());
           group *= 2) {
        spread_.push_back(std::max(x_.spread(group), y_.spread(group)));
      }
    }
    Index group = 1;
    S const zero = 0;
    for (double const spread : spread_) {
      S const length = S(std::sqrt(spread));
      S cost;
      cost_.segment(&length, 1, &zero, 1, 1, &cost);
      if (double(cost) > 0.25 * epsilon) break;
      group *= 2;
    }
    return group;
  }

  /// Carries the potentials to clusters of `group` points.
  void go_to(Index group) {
    if (group == group_) return;
    CloudSide<S> const x = x_.coarse(group), y = y_.coarse(group);
    if (group_ > 0) p_ = carried(x, y, group_ / group);
    level_x_ = x;
    level_y_ = y;
    group_ = group;
  }
  Potentials<S> finest() {
    go_to(1);
    return std::move(p_);
  }

  /// A few steps of Sinkhorn between the points, without a certificate.
  void scale() {
    SinkhornOptions options = options_;
    options.epsilon = double(at_.epsilon);
    options.tolerance = std::max(options_.tolerance.value_or(0.0), 1e-2);
    options.annealing = 1;
    Sinkhorn<Cloud> const method(cloud(level_x_, level_y_, 1e-2 * *options.tolerance),
                                 level_x_.weights, level_y_.weights, options, std::move(p_));
    auto state = method.init();
    Status status = Status::running;
    for (Index k = 0; status == Status::running && k < options_.annealing_iterations &&
                      iterations < options_.max_iterations;
         ++k, ++iterations) {
      status = method.advance(state, 1).status;
    }
    bool const converged = status == Status::converged;
    p_ = {converged ? state.f : state.kept_f, converged ? state.g : state.kept_g};
  }

  /// Newton's steps between the clusters, without a certificate.
  void solve(double tolerance) {
    using Method = SinkhornNewton<Cloud>;
    tolerance = std::max(options_.tolerance.value_or(0.0), tolerance);
    SinkhornOptions chosen = options_;
    chosen.epsilon = double(at_.epsilon);
    chosen.tolerance = tolerance;
    SinkhornNewtonOptions options = newton_options(chosen);
    options.warmup_iterations = system ? 0 : 1;
    Cloud cloud(cost_, level_x_.tree, level_y_.tree, 1e-2 * tolerance, system,
                std::max<Index>(1, system_group / group_));
    Method const method(std::move(cloud), level_x_.weights, level_y_.weights, options,
                        std::move(p_));
    auto state = method.init();
    Status status = Status::running;
    while (status == Status::running && iterations < options_.max_iterations) {
      Index const before = state.iterations;
      status = method.advance(state, 1).status;
      iterations += state.iterations - before;
    }
    p_ = {state.f, state.g};
  }

  /// The system of the present clusters, unless their plan has too many entries.
  void make_system() {
    using Kernel = TruncatedKernel<S, F>;
    Cloud const clusters(cost_, level_x_.tree, level_y_.tree, 1e-5);
    EntropicProblem<Cloud> const problem("sinkhorn_multiscale", clusters, level_x_.weights,
                                         level_y_.weights, double(at_.epsilon), 1e-3);
    Kernel kernel(problem);
    RowSums<S> rows(problem.n(), problem.m(), options_.parallel.workers());
    SparseLaplacian<S> laplacian;
    laplacian.clear(rows.columns, 2 * most_entries);
    VectorX<S> next(problem.n()), g = p_.g;
    S const share = S(1e-5) / S(problem.n());
    kernel.read(problem, {at_, problem.negligible(1e-3)}, p_.f, g, rows, options_.parallel, next,
                [&](Index chunk, Index j, VectorX<S> const& w, std::int32_t const* row, S const* e,
                    Index count, S sum) {
                  laplacian.add_column(chunk, w, row, e, count, 1 / sum, problem.v(j), share);
                });
    if (!laplacian.complete()) return;
    VectorX<S> const mass =
        (problem.w.template cast<wide_t<S>>().array() * rows.total.array()).template cast<S>();
    system_group = group_;
    system = std::make_shared<ClusterSystem<S, F> const>(clusters, at_, g, problem.v, mass,
                                                         std::move(laplacian));
  }

  /// The soft transforms of the potentials between clusters at finer ones, `ratio` times as many.
  [[nodiscard]] Potentials<S> carried(CloudSide<S> const& finer_x, CloudSide<S> const& finer_y,
                                      Index ratio) const {
    return {carried(level_x_, p_.f, level_y_, p_.g, *finer_x.tree, ratio),
            carried(level_y_, p_.g, level_x_, p_.f, *finer_y.tree, ratio)};
  }

  /// The same for one side, with potentials f. What is read is found by guesses: the potential of
  /// the cluster that a point is from, and the slope in its leaf.
  [[nodiscard]] VectorX<S> carried(CloudSide<S> const& side, VectorX<S> const& f,
                                   CloudSide<S> const& other, VectorX<S> const& g,
                                   CloudTree<S> const& finer, Index ratio) const {
    TruncatedSide<S, F> from(other.tree, other.weights / other.weights.sum());
    from.prepare(g, at_);
    BoundsOf<S> coarse(*side.tree), bounds(finer);
    coarse.fit(*side.tree, f);
    auto const &X = side.tree->coordinates(), &x = finer.coordinates();
    Cloud const clusters = cloud(side, other, 1e-4);
    VectorX<S> result(finer.size());
    std::vector<LeafEntries<S>> workers(std::size_t(options_.parallel.workers()));
    for_each_leaf(finer, options_.parallel, [&](Index first, Index count, int worker) {
      for (Index i = first; i < first + count; ++i) {
        Index const I = i / ratio;
        S guess = f(I) + S(at_.epsilon);
        for (Index k = 0; k < x.cols(); ++k) {
          guess += coarse.slope(I / CloudTree<S>::leaf)[k] * (x(i, k) - X(I, k));
        }
        result(i) = guess;
      }
      LeafSums<S> const sums =
          from.read(clusters, finer, bounds, first, 1e-4, result, workers[std::size_t(worker)]);
      for (Index k = 0; k < count; ++k) {
        result(first + k) -= S(at_.epsilon * std::log(sums.sum[k]));
      }
    });
    return result;
  }

  static constexpr Index most_entries = 2'000'000;  // of a system

  F cost_;
  CloudSide<S> const& x_;
  CloudSide<S> const& y_;
  SinkhornOptions options_;
  double theta_;
  // Where it stands: the clusters, their potentials, and the epsilon that these belong to.
  Index group_ = 0;
  CloudSide<S> level_x_ = x_, level_y_ = y_;
  Potentials<S> p_;
  Blur<S> at_;
  std::vector<double> spread_;
};

/// all(present_i) <- the i-th value in the order of a tree; the others <- soft transforms of the
/// other side's potentials.
template <RealScalar S, class F>
VectorX<S> restored(TruncatedCloud<S, F> const& cloud, CloudSide<S> const& side,
                    VectorX<S> const& values, MatrixX<S> const& points,
                    CloudSide<S> const& other_side, VectorX<S> const& other, Blur<S> at) {
  VectorX<S> const known = side.tree->restored(values);
  VectorX<S> all(points.cols());
  if (known.size() < all.size()) {
    VectorX<S> const v = other_side.weights / other_side.weights.sum();
    CloudTree<S> const tree(points, true);
    soft_at(cloud, *other_side.tree, tree, at, other, v, {}, all);
  }
  all(side.present) = known;
  return all;
}

}  // namespace detail

/// Entropic optimal transport between the points of a cloud, coarse to fine with a truncated
/// kernel; see the file comment, and sinkhorn.hpp for the arguments and what is refused. A start
/// skips the coarse levels. The observer sees the last level.
template <RealScalar S, class F, VectorExpr A, VectorExpr B, Observer Watch = Unobserved>
  requires(detail::grows_with_distance<F> && std::same_as<scalar_t<A>, S> &&
           std::same_as<scalar_t<B>, S>)
[[nodiscard]] SinkhornResult<S> sinkhorn_multiscale(PointCloud<S, F> const& cost, A const& a,
                                                    B const& b, SinkhornOptions options,
                                                    Potentials<S> const& start = {},
                                                    Watch&& observer = {}) {
  using Cloud = detail::TruncatedCloud<S, F>;
  Deadline const deadline(options.max_seconds);
  std::string_view const function = "sinkhorn_multiscale";
  VectorX<S> rows = monge::detail::as_column(a), cols = monge::detail::as_column(b);
  detail::balance<S>(function, detail::shape(cost), rows, cols);
  detail::check_start(function, detail::shape(cost), start);
  detail::require_annealing(function, options.annealing);
  MatrixX<S> const X = cost.X();
  detail::require(X.rows() <= Cloud::most_coordinates, function, ": the points have ", X.rows(),
                  " coordinates; at most ", Cloud::most_coordinates,
                  " are searched, use sinkhorn for more");
  detail::CloudSide<S> const x(X, rows), y(cost.Y(), cols);
  detail::Strength const strength = detail::checked_strength(
      function, Cloud(cost.functor(), x.tree, y.tree, 1e-3), options.epsilon, options.tolerance);
  options.tolerance = strength.tolerance;
  double const theta = std::clamp(strength.tolerance / 200, 1e-30, 1e-3);

  detail::Multiscale<S, F> scales(cost.functor(), x, y, options, theta);
  Potentials<S> from;
  if (start.f.size() > 0) {
    from = {x.tree->sorted(start.f(x.present)), y.tree->sorted(start.g(y.present))};
  } else {
    from = scales.start();
  }
  Index const coarse = scales.iterations;
  Cloud const cloud(cost.functor(), x.tree, y.tree, theta, scales.system, scales.system_group);
  options.max_iterations = std::max<Index>(1, options.max_iterations - coarse);
  options.annealing = 1;
  Limits const limits{options.max_iterations, deadline.remaining(), options.observe_every};
  SinkhornResult<S> r;
  if (scales.system) {
    SinkhornNewton<Cloud> const method(cloud, x.weights, y.weights, detail::newton_options(options),
                                       std::move(from));
    r = method.result(iterate(method, limits, std::forward<Watch>(observer)));
  } else {
    Sinkhorn<Cloud> const method(cloud, x.weights, y.weights, options, std::move(from));
    r = method.result(iterate(method, limits, std::forward<Watch>(observer)));
  }
  VectorX<S> const f = r.f;
  detail::Blur<S> const at(r.epsilon);
  r.f = detail::restored(cloud, x, f, X, y, r.g, at);
  r.g = detail::restored(cloud, y, r.g, cost.Y(), x, f, at);
  r.a = rows;
  r.b = cols;
  r.iterations += coarse;
  r.seconds = deadline.elapsed();
  return monge::detail::certified(std::move(r));
}

}  // namespace monge::ot
