// SPDX-License-Identifier: MIT
/// @file
/// Optimal transport: everything in the room.
#pragma once

#include <monge/ot/assignment.hpp>
#include <monge/ot/barycentric_map.hpp>
#include <monge/ot/c_transform.hpp>
#include <monge/ot/cost.hpp>
#include <monge/ot/directions.hpp>
#include <monge/ot/exact.hpp>
#include <monge/ot/exact_gap.hpp>
#include <monge/ot/plan.hpp>
#include <monge/ot/position_gradient.hpp>
#include <monge/ot/rounding.hpp>
#include <monge/ot/sinkhorn.hpp>
#include <monge/ot/sinkhorn_gradient.hpp>
#include <monge/ot/sinkhorn_newton.hpp>
#include <monge/ot/sinkhorn_unbalanced.hpp>
#include <monge/ot/sparse_plan.hpp>
#include <monge/ot/wasserstein_1d.hpp>
