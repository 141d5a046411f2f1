#include <monge/monge.hpp>
#include <iostream>
int main() {
  Eigen::MatrixXd X = Eigen::MatrixXd::Random(2, 30), Y = Eigen::MatrixXd::Random(2, 40);   // points are columns
  Eigen::VectorXd a = Eigen::VectorXd::Constant(30, 1.0 / 30), b = Eigen::VectorXd::Constant(40, 1.0 / 40);
  auto C = monge::ot::cost_matrix(X, Y, monge::ot::squared_euclidean{});                   // 30 x 40
  auto r = monge::ot::sinkhorn(C, a, b, {.epsilon = 0.05, .tolerance = 1e-9});
  Eigen::MatrixXd P = monge::ot::plan(C, r);
  auto lazy = monge::ot::sinkhorn(monge::ot::point_cloud(X, Y, monge::ot::squared_euclidean{}), a, b, {.epsilon = 0.05});
  auto spin = monge::flow::integrate([](double, auto const& x, auto&& dx) { dx << x(1), -x(0); }, Eigen::Vector2d(1, 0), 0.0, 6.283185307179586,
                                     monge::flow::dormand_prince5{}, {.relative_tolerance = 1e-10, .absolute_tolerance = 1e-10});
  auto bowl = monge::optim::minimize([](auto const& x, auto&& g) { g = 2 * x; return x.squaredNorm(); }, Eigen::VectorXd::Ones(5).eval(), monge::optim::lbfgs{});
  std::cout << monge::message(spin.status) << ' ' << (spin.x - Eigen::Vector2d(1, 0)).norm() << ' ' << monge::message(bowl.status) << ' ' << bowl.value << '\n';
  std::cout << monge::message(r.status) << ' ' << r.iterations << ' ' << r.marginal_error << ' ' << r.transport_cost << ' ' << (P.rowwise().sum() - a).lpNorm<1>() << ' ' << lazy.transport_cost << '\n';
}
