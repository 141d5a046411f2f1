// SPDX-License-Identifier: MIT
// The program that owns the precompiled header of all tests.
