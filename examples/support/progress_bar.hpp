// SPDX-License-Identifier: MIT
// An observer that draws a progress bar, on a terminal only.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <string>
#include <unistd.h>
#include <utility>

#include <monge/core/observer.hpp>

namespace example {

/// Shows how far the error has come, on a logarithmic scale, from its first value to `goal`.
class ProgressBar {
 public:
  ProgressBar(std::string title, double goal)
      : title_(std::move(title)), goal_(goal), terminal_(isatty(STDERR_FILENO) != 0) {}
  ProgressBar(ProgressBar const&) = delete;
  ProgressBar& operator=(ProgressBar const&) = delete;
  ~ProgressBar() {
    if (drawn_) std::fputc('\n', stderr);
  }

  void operator()(monge::Progress const& progress) {
    if (!terminal_ || !std::isfinite(progress.error)) return;
    if (first_ < 0) first_ = progress.error;
    double const way = std::log(first_ / goal_), done = std::log(first_ / progress.error);
    double const share = way > 0 ? std::clamp(done / way, 0.0, 1.0) : 1.0;
    int const filled = static_cast<int>(share * width);
    std::string const bar =
        std::string(std::size_t(filled), '#') + std::string(std::size_t(width - filled), '.');
    std::fprintf(stderr, "\r%s [%s] %3.0f %%  iteration %lld, error %.1e, %.1f s ", title_.c_str(),
                 bar.c_str(), 100 * share, static_cast<long long>(progress.iteration),
                 progress.error, progress.seconds);
    std::fflush(stderr);
    drawn_ = true;
  }

 private:
  static constexpr int width = 30;

  std::string title_;
  double goal_, first_ = -1;
  bool terminal_, drawn_ = false;
};

}  // namespace example
