// SPDX-License-Identifier: MIT
// The smallest user: that the headers are found, compile and state the version of the package.
#include <iostream>
#include <string>

#include <monge/monge.hpp>
#include <monge/version.hpp>

int main() {
  std::string const stated = std::to_string(MONGE_VERSION_MAJOR) + '.' +
                             std::to_string(MONGE_VERSION_MINOR) + '.' +
                             std::to_string(MONGE_VERSION_PATCH);
  std::cout << "headers " << stated << ", package " << PACKAGE_VERSION << '\n';
  return stated == PACKAGE_VERSION ? 0 : 1;
}
