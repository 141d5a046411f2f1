// SPDX-License-Identifier: MIT
/// @file
/// The optim room: minimisation of smooth functions.
#pragma once

#include <monge/optim/first_order.hpp>
#include <monge/optim/lbfgs.hpp>
#include <monge/optim/line_search.hpp>
#include <monge/optim/minimize.hpp>
#include <monge/optim/objective.hpp>
#include <monge/optim/problems.hpp>
