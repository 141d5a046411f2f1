// SPDX-License-Identifier: MIT
/// @file
/// Optimal transport: everything in the room.
#pragma once

#include <monge/ot/assignment.hpp>
#include <monge/ot/barycentric_map.hpp>
#include <monge/ot/bisection_matching.hpp>
#include <monge/ot/c_transform.hpp>
#include <monge/ot/cost.hpp>
#include <monge/ot/directions.hpp>
#include <monge/ot/entropic.hpp>
#include <monge/ot/exact.hpp>
#include <monge/ot/exact_batch.hpp>
#include <monge/ot/exact_gap.hpp>
#include <monge/ot/exact_points.hpp>
#include <monge/ot/exact_sparse.hpp>
#include <monge/ot/grid.hpp>
#include <monge/ot/max_sliced_wasserstein.hpp>
#include <monge/ot/plan.hpp>
#include <monge/ot/position_gradient.hpp>
#include <monge/ot/rounding.hpp>
#include <monge/ot/sinkhorn.hpp>
#include <monge/ot/sinkhorn_barycenter.hpp>
#include <monge/ot/sinkhorn_divergence.hpp>
#include <monge/ot/sinkhorn_gradient.hpp>
#include <monge/ot/sinkhorn_multiscale.hpp>
#include <monge/ot/sinkhorn_newton.hpp>
#include <monge/ot/sinkhorn_sparse.hpp>
#include <monge/ot/sinkhorn_unbalanced.hpp>
#include <monge/ot/sliced_control.hpp>
#include <monge/ot/sliced_plan.hpp>
#include <monge/ot/sliced_wasserstein.hpp>
#include <monge/ot/sparse_plan.hpp>
#include <monge/ot/spherical_sliced_wasserstein.hpp>
#include <monge/ot/wasserstein_1d.hpp>
#include <monge/ot/wasserstein_circle.hpp>
#include <monge/ot/weight_gradient.hpp>
