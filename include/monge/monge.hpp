// SPDX-License-Identifier: MIT
/// @file
/// Everything of the library but the optional adapters. One header per room (`monge/ot.hpp`,
/// `monge/flow.hpp`, ...) or per method (`monge/ot/sinkhorn.hpp`) compiles faster.
#pragma once

#include <monge/core.hpp>
#include <monge/flow.hpp>
#include <monge/linalg.hpp>
#include <monge/optim.hpp>
#include <monge/ot.hpp>
#include <monge/spd.hpp>
#include <monge/version.hpp>
