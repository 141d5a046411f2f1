// SPDX-License-Identifier: MIT
/// @file
/// Symmetric positive definite matrices: everything in the room.
#pragma once

#include <monge/spd/affine_invariant.hpp>
#include <monge/spd/batch_normalization.hpp>
#include <monge/spd/barycenter.hpp>
#include <monge/spd/bures_wasserstein.hpp>
#include <monge/spd/functions.hpp>
#include <monge/spd/gaussian.hpp>
#include <monge/spd/gaussian_mixture.hpp>
#include <monge/spd/generalised_bures_wasserstein.hpp>
#include <monge/spd/log_euclidean.hpp>
#include <monge/spd/metric.hpp>
