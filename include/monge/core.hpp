// SPDX-License-Identifier: MIT
/// @file
/// The grammar of the library: everything of core/.
#pragma once

#include <monge/core/certify.hpp>
#include <monge/core/exp.hpp>
#include <monge/core/iterate.hpp>
#include <monge/core/observer.hpp>
#include <monge/core/parallel.hpp>
#include <monge/core/random.hpp>
#include <monge/core/require.hpp>
#include <monge/core/status.hpp>
#include <monge/core/threads.hpp>
#include <monge/core/types.hpp>
