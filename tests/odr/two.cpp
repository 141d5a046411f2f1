// SPDX-License-Identifier: MIT
#include <monge/monge.hpp>

monge::Status status_of_two();

monge::Status status_of_two() { return monge::Status::converged; }
