// SPDX-License-Identifier: MIT
// Whatever the problem: refused, or a result whose `converged` is true of the plan that its
// potentials determine, rebuilt in long double.
#include <stdexcept>

#include "entropic.hpp"
#include <monge/ot/sinkhorn.hpp>

namespace {

using namespace monge;
using fuzz::Bytes;

template <class S>
void run(Bytes& bytes) {
  Index const n = bytes.below(9), m = bytes.below(9);
  S const unit = S(std::pow(10.0, bytes.below(25) - 12));
  auto const options = fuzz::options<ot::SinkhornOptions>(bytes, double(unit));
  bool const row_major = bytes.below(2) == 1;
  MatrixX<S> const C = fuzz::matrix<S>(bytes, n, m, unit, 2 + bytes.below(64));
  fuzz::Weights<S> const w(bytes, n, m);
  try {
    if (row_major) {
      Eigen::Matrix<S, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor> const rows = C;
      fuzz::check_balanced<S>(C, ot::sinkhorn(rows, w.a, w.b, options));
    } else {
      fuzz::check_balanced<S>(C, ot::sinkhorn(C, w.a, w.b, options));
    }
  } catch (std::invalid_argument const&) {
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(std::uint8_t const* data, std::size_t size) {
  return monge::fuzz::in_double_or_float(data, size, []<class S>(Bytes& bytes) { run<S>(bytes); });
}
