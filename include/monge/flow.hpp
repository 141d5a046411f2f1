// SPDX-License-Identifier: MIT
/// @file
/// The flow room: velocity fields and their integration.
#pragma once

#include <monge/flow/gradient_flow.hpp>
#include <monge/flow/integrate.hpp>
#include <monge/flow/integrate_options.hpp>
#include <monge/flow/runge_kutta.hpp>
#include <monge/flow/runge_kutta_methods.hpp>
#include <monge/flow/step_control.hpp>
#include <monge/flow/tableau.hpp>
#include <monge/flow/velocity_field.hpp>
