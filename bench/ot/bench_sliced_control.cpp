// SPDX-License-Identifier: MIT
// The tables of docs/papers/sliced-control-variates.md.
//
// estimate/<pair>/<estimator>/<L>: one iteration is one estimate of SW_2^2 from its own key; the
// counter `rmse` is the relative root mean square error over all iterations, `reference_error` that
// of the value it is measured against (its standard error, or the change when a rule is halved).
// spectrum/<pair in space>: shares of the variance of the slices in the harmonics of degree 2, 4
// ... 12 (`s2` ...), and what the Gaussian control leaves of them (`g2` ...), in the same unit.
// flow/<estimator>/<L>/<seed>: the gradient flow of the paper; counters: the exact W_2^2 after
// 3000, 4000, 5000, 6000 and 8000 steps, and seconds without those.
//
// --data DIR: DIR/clouds/shapenet50_2048.npy (from khainb/CV-SW) and DIR/meshes/*.off (from
// data.tar.gz of Debian's libcgal-demo); without them those rows are left out. Run
// --benchmark_filter=estimate, =spectrum and =flow apart: the flows take minutes.
#include <Eigen/Core>

#include <benchmark/benchmark.h>
#include <cmath>
#include <cstdint>
#include <fstream>
#include <functional>
#include <iostream>
#include <map>
#include <numbers>
#include <string>
#include <vector>

#include <monge/core/random.hpp>
#include <monge/flow/gradient_flow.hpp>
#include <monge/ot/cost.hpp>
#include <monge/ot/exact.hpp>
#include <monge/ot/sliced_wasserstein.hpp>

namespace {

using namespace monge;
using Eigen::MatrixXd;
using Eigen::VectorXd;
using ot::DirectionRule;
using ot::SlicedControl;

struct Pair {
  MatrixXd X, Y;
};

/// The clouds of an array of 32-bit floats, clouds x points x coordinates.
std::vector<MatrixXd> read_clouds(std::string const& path) {
  std::ifstream file(path, std::ios::binary);
  char start[10] = {};
  if (!file.read(start, 10)) return {};
  std::string header(std::size_t(static_cast<unsigned char>(start[8])) +
                         256 * static_cast<unsigned char>(start[9]),
                     ' ');
  file.read(header.data(), std::streamsize(header.size()));
  auto const shape = header.find("'shape': (");
  Index clouds = 0, points = 0, coordinates = 0;
  if (header.find("'<f4'") == std::string::npos || shape == std::string::npos ||
      std::sscanf(header.c_str() + shape, "'shape': (%td, %td, %td)", &clouds, &points,
                  &coordinates) != 3) {
    return {};
  }
  std::vector<MatrixXd> result;
  Eigen::MatrixXf cloud(coordinates, points);
  for (Index k = 0; k < clouds; ++k) {
    file.read(reinterpret_cast<char*>(cloud.data()), std::streamsize(4 * cloud.size()));
    if (!file) return {};
    result.push_back(cloud.cast<double>());
  }
  return result;
}

/// 2048 vertices of a mesh, centred, in the unit ball.
MatrixXd read_mesh(std::string const& path) {
  std::ifstream file(path);
  std::string word;
  Index vertices = 0, faces = 0, edges = 0;
  if (!(file >> word >> vertices >> faces >> edges) || word != "OFF") return {};
  MatrixXd all(3, vertices);
  for (Index k = 0; k < all.size(); ++k) file >> all(k);
  if (!file) return {};
  Index const n = std::min<Index>(2048, vertices);
  VectorX<Index> const chosen = random::choose({7, 77}, n, vertices);
  MatrixXd X(3, n);
  for (Index k = 0; k < n; ++k) X.col(k) = all.col(chosen(k));
  X.colwise() -= X.rowwise().mean().eval();
  return X / X.colwise().norm().maxCoeff();
}

MatrixXd normal(Index d, Index n, std::uint64_t seed) {
  MatrixXd X(d, n);
  random::fill_normal(X, RandomKey{seed, 77});  // not the keys of the estimates
  return X;
}

/// n points of a surface or curve from three uniform deviates each.
template <class Map>
MatrixXd shape(Index n, std::uint64_t seed, Map map) {
  MatrixXd U(3, n), X(3, n);
  random::fill_uniform(U, RandomKey{seed, 77});
  for (Index k = 0; k < n; ++k) X.col(k) = map(U(0, k), U(1, k), U(2, k));
  return X;
}

Eigen::Vector3d on_sphere(double u, double v) {
  double const z = 2 * u - 1, r = std::sqrt(1 - z * z), t = 2 * std::numbers::pi * v;
  return {r * std::cos(t), r * std::sin(t), z};
}
MatrixXd torus(Index n) {
  return shape(n, 1, [](double u, double v, double) -> Eigen::Vector3d {
    double const a = 2 * std::numbers::pi * u, b = 2 * std::numbers::pi * v;
    double const r = 1 + 0.3 * std::cos(b);
    return Eigen::Vector3d(r * std::cos(a), r * std::sin(a), 0.3 * std::sin(b));
  });
}
MatrixXd knot(Index n) {
  return shape(n, 2, [](double u, double, double) -> Eigen::Vector3d {
    double const t = 2 * std::numbers::pi * u;
    return Eigen::Vector3d(std::sin(t) + 2 * std::sin(2 * t), std::cos(t) - 2 * std::cos(2 * t),
                           -std::sin(3 * t)) *
           0.4;
  });
}
MatrixXd two_spheres(Index n) {
  return shape(n, 3, [](double u, double v, double w) -> Eigen::Vector3d {
    return Eigen::Vector3d(0.5 * on_sphere(u, v) + Eigen::Vector3d(w < 0.5 ? -1 : 1, 0, 0));
  });
}

/// Samples of two Gaussians with random covariances.
Pair gaussians(Index d, double shift) {
  Index const n = 1000;
  MatrixXd const A = normal(d, d, 11) / std::sqrt(double(d)),
                 B = normal(d, d, 12) / std::sqrt(double(d));
  MatrixXd X = A * normal(d, n, 13), Y = B * normal(d, n, 14);
  Y.row(0).array() += shift;
  return {X, Y};
}

std::map<std::string, Pair>& pairs() {
  static std::map<std::string, Pair> all;
  return all;
}

void load(std::string const& data) {
  auto& all = pairs();
  std::vector<MatrixXd> const A = read_clouds(data + "/clouds/shapenet50_2048.npy");
  if (A.size() > 35) {
    all["A"] = {(2 * A[32].array() - 10).matrix(), (2 * A[33].array() + 10).matrix()};
    all["B"] = {A[32], A[33]};
    all["C"] = {A[8], A[32]};
    all["D"] = {A[32], A[35]};
  } else {
    std::cerr << "no clouds in " << data << "/clouds: pairs A to D and the flow are left out\n";
  }
  for (auto const& [x, y] : {std::pair{"elephant", "armadillo"}, std::pair{"cow", "homer"}}) {
    MatrixXd const X = read_mesh(data + "/meshes/" + x + ".off"),
                   Y = read_mesh(data + "/meshes/" + y + ".off");
    if (X.size() > 0 && Y.size() > 0) all[std::string(x) + "-" + y] = {X, Y};
  }
  all["torus-knot"] = {torus(2000), knot(2000)};
  all["spheres-torus"] = {two_spheres(2000), torus(1500)};
  for (Index d : {3, 6, 20, 100}) all["gauss" + std::to_string(d)] = gaussians(d, 0);
  all["gauss20-apart"] = gaussians(20, 2);
}

struct Reference {
  double power = 0, error = 0;
};

/// SW_2^2 far beyond what the estimates reach: the product rule, or many directions with the
/// Gaussian control.
Reference reference(std::string const& name) {
  static std::map<std::string, Reference> known;
  if (auto const found = known.find(name); found != known.end()) return found->second;
  auto const& [X, Y] = pairs().at(name);
  Reference r;
  if (X.rows() == 3) {
    auto const at = [&](Index L) {
      return double(ot::sliced_wasserstein(X, Y,
                                           {.projections = L,
                                            .directions = DirectionRule::gauss,
                                            .control = SlicedControl::gaussian},
                                           RandomKey{})
                        .power);
    };
    r.power = at(22500);
    r.error = std::abs(at(10000) / r.power - 1);
  } else {
    // Beyond d = 32 the mean of the Gaussian control is itself estimated.
    bool const exact_control = X.rows() <= 32;
    auto const many = ot::sliced_wasserstein(
        X, Y,
        {.projections = exact_control ? 60000 : 200000,
         .directions = DirectionRule::orthogonal,
         .control = exact_control ? SlicedControl::gaussian : SlicedControl::none},
        RandomKey{1234567, 0});
    r.power = double(many.power);
    r.error = many.standard_error.value_or(0) / r.power;
  }
  return known[name] = r;
}

/// The highest even degree with at most half as many functions as directions; 0 if there is none.
int degree(Index d, Index L) {
  int best = 0;
  for (int k = 2; k <= 20; k += 2) {
    double count = 1;
    for (int i = 1; i <= k; ++i) count = count * double(d - 1 + i) / double(i);
    if (count <= double(L) / 2) best = k;
  }
  return best;
}

struct Estimator {
  std::string name;
  DirectionRule rule;
  SlicedControl control;
  bool harmonics = false;
};

std::vector<Estimator> const estimators{
    {"MC", DirectionRule::monte_carlo, SlicedControl::none},
    {"LCV", DirectionRule::monte_carlo, SlicedControl::lower_bound},
    {"UCV", DirectionRule::monte_carlo, SlicedControl::upper_bound},
    {"SHCV", DirectionRule::monte_carlo, SlicedControl::none, true},
    {"QMC-sobol", DirectionRule::sobol, SlicedControl::none},
    {"QMC-spiral", DirectionRule::spiral, SlicedControl::none},
    {"QMC-coulomb", DirectionRule::coulomb, SlicedControl::none},
    {"orthogonal", DirectionRule::orthogonal, SlicedControl::none},
    {"Gauss-rule", DirectionRule::gauss, SlicedControl::none},
    {"GCV", DirectionRule::monte_carlo, SlicedControl::gaussian},
    {"GCV-SH", DirectionRule::monte_carlo, SlicedControl::gaussian, true},
    {"GCV-orthogonal", DirectionRule::orthogonal, SlicedControl::gaussian},
    {"GCV-coulomb", DirectionRule::coulomb, SlicedControl::gaussian},
    {"GCV-Gauss-rule", DirectionRule::gauss, SlicedControl::gaussian},
    {"automatic", DirectionRule::monte_carlo, SlicedControl::automatic},
};

bool exists(Estimator const& e, Index d, Index L) {
  if (e.harmonics && degree(d, L) == 0) return false;
  if (e.rule == DirectionRule::sobol) return d <= 32;
  bool const sphere = e.rule == DirectionRule::spiral || e.rule == DirectionRule::coulomb ||
                      e.rule == DirectionRule::gauss;
  return !sphere || d == 3;
}

void estimate(benchmark::State& state, std::string const& name, Estimator const& e) {
  auto const& [X, Y] = pairs().at(name);
  Index const L = state.range(0);
  Reference const truth = reference(name);
  ot::SlicedWassersteinOptions const options{.projections = L,
                                             .directions = e.rule,
                                             .control = e.control,
                                             .harmonics = e.harmonics ? degree(X.rows(), L) : 0};
  // Sets on the sphere are made once and turned for each estimate.
  ot::Directions base;
  if (e.rule == DirectionRule::coulomb) base = ot::coulomb_directions(L);
  if (e.rule == DirectionRule::spiral) base = ot::spiral_directions(L);
  double squares = 0;
  std::uint64_t rep = 0;
  for (auto _ : state) {
    RandomKey const key{++rep, 0};
    auto const r = base.count() > 0 ? ot::sliced_wasserstein(X, Y, ot::rotated(base, key), options)
                                    : ot::sliced_wasserstein(X, Y, options, key);
    double const error = double(r.power) / truth.power - 1;
    squares += error * error;
  }
  state.counters["rmse"] = std::sqrt(squares / double(rep));
  state.counters["reference_error"] = truth.error;
}

/// |f_k|^2 = (2k + 1) sum_ij weight_i weight_j f_i f_j P_k(theta_i . theta_j), the addition
/// theorem.
VectorXd energies(VectorXd const& weighted, MatrixXd const& theta, int degrees) {
  VectorXd sums = VectorXd::Zero(degrees + 1);
  for (Index j = 0; j < theta.cols(); ++j) {
    Eigen::ArrayXd const t = (theta.transpose() * theta.col(j)).array();
    Eigen::ArrayXd p = t, before = Eigen::ArrayXd::Ones(t.size());
    for (int k = 1; k <= degrees; ++k) {
      // The rule covers half of the sphere, on which odd degrees are not orthogonal: left out.
      if (k % 2 == 0) sums(k) += (2 * k + 1) * weighted(j) * weighted.dot(p.matrix());
      Eigen::ArrayXd const next = (double(2 * k + 1) * t * p - double(k) * before) / double(k + 1);
      before.swap(p);
      p = next;
    }
  }
  return sums;
}

void spectrum(benchmark::State& state, std::string const& name) {
  auto const& [X, Y] = pairs().at(name);
  for (auto _ : state) {
    auto const r = ot::sliced_wasserstein(X, Y, ot::gauss_directions(3, 2500), {});
    MatrixXd const& theta = r.directions.theta;
    auto const deviation = [&](MatrixXd const& Z) -> Eigen::ArrayXd {
      MatrixXd const centred = Z.colwise() - Z.rowwise().mean().eval();
      return ((centred.transpose() * theta).colwise().squaredNorm() / double(Z.cols()))
          .transpose()
          .cwiseSqrt();
    };
    VectorXd const D = X.rowwise().mean() - Y.rowwise().mean();
    VectorXd const control =
        (theta.transpose() * D).cwiseAbs2() + (deviation(X) - deviation(Y)).square().matrix();
    VectorXd const& w = r.directions.weights;
    VectorXd const all = energies(w.cwiseProduct(r.slices), theta, 40),
                   left = energies(w.cwiseProduct(r.slices - control), theta, 40);
    for (int k = 2; k <= 12; k += 2) {
      state.counters["s" + std::to_string(k)] = all(k) / all.sum();
      state.counters["g" + std::to_string(k)] = left(k) / all.sum();
    }
  }
}

void flow_of_the_paper(benchmark::State& state, Estimator const& e) {
  auto const& [X0, Y] = pairs().at("A");
  Index const n = X0.cols();
  ot::SlicedWassersteinOptions const options{.projections = state.range(0),
                                             .directions = e.rule,
                                             .control = e.control,
                                             .answer = ot::SlicedAnswer::gradient_x};
  ot::SlicedWorkspace<double> workspace;
  auto const loss = [&](MatrixXd const& X, MatrixXd& G, RandomKey key) {
    auto const r = ot::sliced_wasserstein(X, Y, options, key, &workspace);
    if (r.power > 0) {
      G = r.gradient_x * r.value_slope();
    } else {
      G.setZero(X.rows(), X.cols());  // an estimate below zero has no root
    }
    return double(r.value);
  };
  for (auto _ : state) {
    auto const r = flow::gradient_flow(X0, loss, optim::gradient_descent{.rate = 0.01},
                                       {.steps = 8000, .save_every = 1000},
                                       Philox(std::uint64_t(state.range(1))));
    state.PauseTiming();
    VectorXd const a = VectorXd::Constant(n, 1 / double(n));
    for (int k : {3, 4, 5, 6, 8}) {
      MatrixXd const& X = r.saved[std::size_t(k)];
      double const exactly =
          double(ot::exact(ot::point_cloud(X, Y, ot::squared_euclidean{}), a, a).transport_cost);
      state.counters["W2^2@" + std::to_string(1000 * k)] = exactly;
    }
    state.counters["seconds"] = r.seconds;
    state.ResumeTiming();
  }
}

}  // namespace

int main(int argc, char** argv) {
  std::string data = ".";
  std::vector<char*> rest;
  for (int k = 0; k < argc; ++k) {
    std::string const word = argv[k];
    if (word == "--data" && k + 1 < argc) {
      data = argv[++k];
    } else {
      rest.push_back(argv[k]);
    }
  }
  load(data);
  for (auto const& [name, pair] : pairs()) {
    if (pair.X.rows() == 3) {
      benchmark::RegisterBenchmark(("spectrum/" + name).c_str(), [name = name](
                                                                     benchmark::State& state) {
        spectrum(state, name);
      })->Iterations(1);
    }
    for (Estimator const& e : estimators) {
      for (Index L : {2, 10, 30, 100, 500}) {
        if (!exists(e, pair.X.rows(), L)) continue;
        benchmark::RegisterBenchmark(
            ("estimate/" + name + "/" + e.name).c_str(),
            [name = name, e](benchmark::State& state) { estimate(state, name, e); })
            ->Arg(L)
            ->Iterations(L >= 500   ? 24
                         : L >= 100 ? 60
                                    : 200)
            ->Unit(benchmark::kMicrosecond);
      }
    }
  }
  if (pairs().count("A") > 0) {
    for (Estimator const& e : estimators) {
      if (e.harmonics || e.name == "automatic") continue;
      for (Index L : {10, 100}) {
        for (Index seed : {1, 2, 3}) {
          benchmark::RegisterBenchmark(
              ("flow/" + e.name).c_str(),
              [e](benchmark::State& state) { flow_of_the_paper(state, e); })
              ->Args({L, seed})
              ->Iterations(1)
              ->Unit(benchmark::kSecond);
        }
      }
    }
  }
  int count = int(rest.size());
  benchmark::Initialize(&count, rest.data());
  benchmark::RunSpecifiedBenchmarks();
}
