// SPDX-License-Identifier: MIT
// Pictures in memory, read and written by stb.
#pragma once

#include <cstdint>
#include <filesystem>
#include <vector>

namespace example {

/// Eight bits a channel, red green blue alpha, row by row from the top left.
struct Image {
  int width = 0, height = 0;
  bool has_alpha = false;  // false: every alpha is 255, and the file had or gets none
  std::vector<std::uint8_t> rgba;

  [[nodiscard]] std::size_t pixels() const { return rgba.size() / 4; }
};

/// Reads JPEG, PNG, BMP, TGA, GIF (first frame), PNM. Grey pictures become colour ones. Throws
/// std::runtime_error that names the file and what is wrong with it.
[[nodiscard]] Image read_image(std::filesystem::path const& path);

/// Writes a PNG. Throws std::runtime_error if the file can't be written.
void write_png(std::filesystem::path const& path, Image const& image);

}  // namespace example
