// SPDX-License-Identifier: MIT
/// @file
/// The version of the library. This is the only place where it is written: the build, the installed
/// package and the pkg-config file read it from here.
#pragma once

#define MONGE_VERSION_MAJOR 0  ///< changes when names or meanings break after 1.0
#define MONGE_VERSION_MINOR 1  ///< before 1.0, changes when names or meanings break
#define MONGE_VERSION_PATCH 0  ///< changes when only behaviour is mended
