// SPDX-License-Identifier: MIT
#include "support/image.hpp"

#include <algorithm>
#include <array>
#include <climits>
#include <fstream>
#include <iterator>
#include <memory>
#include <stb/stb_image.h>
#include <stb/stb_image_write.h>
#include <stdexcept>
#include <string>

namespace example {
namespace {

using Bytes = std::vector<unsigned char>;

[[noreturn]] void refuse(std::filesystem::path const& path, std::string const& why) {
  throw std::runtime_error("'" + path.string() + "': " + why);
}

Bytes read_file(std::filesystem::path const& path) {
  if (!std::filesystem::exists(path)) refuse(path, "no such file");
  if (std::filesystem::is_directory(path)) refuse(path, "is a folder, not a picture");
  std::ifstream file(path, std::ios::binary);
  if (!file) refuse(path, "can't be opened");
  Bytes bytes{std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
  if (bytes.empty()) refuse(path, "is empty");
  return bytes;
}

/// stb decodes a JPEG that ends too early without a word. Within a scan every 0xFF byte is escaped,
/// so a complete file has an end marker after the start of its last scan.
bool is_truncated_jpeg(Bytes const& bytes) {
  if (bytes.size() < 3 || bytes[0] != 0xFF || bytes[1] != 0xD8) return false;
  auto const last = [&](unsigned char marker) {
    std::array<unsigned char, 2> const code{0xFF, marker};
    return std::find_end(bytes.begin(), bytes.end(), code.begin(), code.end());
  };
  auto const scan = last(0xDA), end = last(0xD9);
  return scan == bytes.end() || end == bytes.end() || end < scan;
}

}  // namespace

Image read_image(std::filesystem::path const& path) {
  Bytes const bytes = read_file(path);
  if (bytes.size() > INT_MAX) refuse(path, "is larger than 2 GB");
  int const size = static_cast<int>(bytes.size());
  Image image;
  int channels = 0;
  std::unique_ptr<stbi_uc, void (*)(void*)> const pixels(
      stbi_load_from_memory(bytes.data(), size, &image.width, &image.height, &channels, 4),
      stbi_image_free);
  if (!pixels) {
    bool const recognised =
        stbi_info_from_memory(bytes.data(), size, &image.width, &image.height, &channels) != 0;
    refuse(path, recognised ? std::string("is truncated or damaged (") + stbi_failure_reason() + ")"
                            : "is not a picture that can be read (JPEG, PNG, BMP, TGA, GIF, PNM)");
  }
  if (is_truncated_jpeg(bytes)) refuse(path, "is truncated or damaged (no end of image)");
  image.has_alpha = channels == 2 || channels == 4;
  std::size_t const count = std::size_t(image.width) * std::size_t(image.height);
  image.rgba.assign(pixels.get(), pixels.get() + 4 * count);
  return image;
}

void write_png(std::filesystem::path const& path, Image const& image) {
  int const channels = image.has_alpha ? 4 : 3;
  Bytes bytes;
  bytes.reserve(image.pixels() * std::size_t(channels));
  for (std::size_t k = 0; k < image.pixels(); ++k) {
    auto const first = image.rgba.begin() + static_cast<std::ptrdiff_t>(4 * k);
    bytes.insert(bytes.end(), first, first + channels);
  }
  if (path.has_parent_path()) {
    std::error_code ignored;  // if the folder can't be made, writing fails below
    std::filesystem::create_directories(path.parent_path(), ignored);
  }
  if (!stbi_write_png(path.string().c_str(), image.width, image.height, channels, bytes.data(),
                      image.width * channels)) {
    refuse(path, "can't be written");
  }
}

}  // namespace example
