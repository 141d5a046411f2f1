// SPDX-License-Identifier: MIT
/// @file
/// Iterative linear algebra: everything in the room.
#pragma once

#include <monge/linalg/conjugate_gradient.hpp>
