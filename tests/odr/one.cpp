// SPDX-License-Identifier: MIT
#include <monge/monge.hpp>

monge::Status status_of_two();

int main() { return status_of_two() == monge::Status::converged ? 0 : 1; }
