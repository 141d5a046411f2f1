// SPDX-License-Identifier: MIT
// Runs the example as a user would, on pictures made here.
#include <array>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <stb/stb_image_write.h>
#include <string>
#include <sys/wait.h>

#include "support/catch.hpp"
#include "support/image.hpp"

namespace {

namespace fs = std::filesystem;
using example::Image;

struct Run {
  int exit_code;
  std::string output;
};

/// A folder of its own for every test case.
class Folder {
 public:
  Folder() {
    std::string name = (fs::temp_directory_path() / "color_transfer.XXXXXX").string();
    REQUIRE(mkdtemp(name.data()) != nullptr);
    path_ = name;
  }
  Folder(Folder const&) = delete;
  Folder& operator=(Folder const&) = delete;
  ~Folder() { fs::remove_all(path_); }

  [[nodiscard]] fs::path operator/(std::string const& name) const { return path_ / name; }

  /// Runs the example with this folder as --data; everything it prints is returned.
  [[nodiscard]] Run run(std::string const& arguments) const {
    std::string const command =
        std::string(EXAMPLE_PROGRAM) + " --data " + path_.string() + " " + arguments + " 2>&1";
    FILE* const pipe = popen(command.c_str(), "r");
    REQUIRE(pipe != nullptr);
    Run result{0, {}};
    std::array<char, 512> buffer{};
    while (std::fgets(buffer.data(), int(buffer.size()), pipe) != nullptr) {
      result.output += buffer.data();
    }
    int const status = pclose(pipe);
    result.exit_code = WIFEXITED(status) ? WEXITSTATUS(status) : -1;
    return result;
  }

 private:
  fs::path path_;
};

using Colour = std::array<std::uint8_t, 4>;

template <class Paint>
Image picture(int width, int height, bool has_alpha, Paint paint) {
  Image image{width, height, has_alpha, {}};
  for (int y = 0; y < height; ++y) {
    for (int x = 0; x < width; ++x) {
      Colour const colour = paint(x, y);
      image.rgba.insert(image.rgba.end(), colour.begin(), colour.end());
    }
  }
  return image;
}

/// Red rises from left to right, from 0 to 255 or (light) from 128 to 255; green from the top down.
Image gradient(int width, int height, bool light) {
  return picture(width, height, false, [&](int x, int y) {
    int const along = 255 * x / width;
    return Colour{std::uint8_t(light ? 128 + along / 2 : along), std::uint8_t(60 * y / height), 20,
                  255};
  });
}

double number_after(std::string const& text, std::string const& label) {
  auto const place = text.find(label);
  REQUIRE(place != std::string::npos);
  return std::strtod(text.c_str() + place + label.size(), nullptr);
}

bool contains(std::string const& text, std::string const& part) {
  return text.find(part) != std::string::npos;
}

}  // namespace

TEST_CASE("color_transfer: a dark gradient takes the colours of a light one") {
  Folder const folder;
  write_png(folder / "dark.png", gradient(30, 12, false));
  write_png(folder / "light.png", gradient(36, 10, true));
  Run const run = folder.run("dark.png light.png --blur 0.01 -o " + (folder / "out.png").string());
  CAPTURE(run.output);
  REQUIRE(run.exit_code == 0);
  CHECK(contains(run.output, "status          converged"));
  CHECK(number_after(run.output, "marginal error") <= 1e-6);
  // Red and green are independent and move by rank, each in one dimension: the optimum is a sum
  // over quantiles, in steps that divide those of both pictures.
  double exact = 0;
  for (int k = 0; k < 180; ++k) {
    exact += std::pow(255 * (k / 6) / 30 - (128 + 255 * (k / 5) / 36 / 2), 2) / 180;
    exact += std::pow(60 * (k / 15) / 12 - 60 * (k / 18) / 10, 2) / 180;
  }
  exact /= 255 * 255;
  double const cost = number_after(run.output, "transport cost");
  CHECK(cost >= exact - 1e-6);
  CHECK(cost < 1.02 * exact);
  CHECK(number_after(run.output, "the optimum is between") <= exact + 1e-6);
  CHECK(number_after(run.output, " and ") >= exact - 1e-6);
  CHECK(number_after(run.output, "certified gap") < 0.02 * exact);
  CHECK(number_after(run.output, "iterations") >= 1);
  Image const out = example::read_image(folder / "out.png");
  CHECK(out.width == 30);
  CHECK(out.height == 12);
  CHECK_FALSE(out.has_alpha);
  for (std::size_t k = 0; k < out.pixels(); ++k) {
    int const x = int(k) % 30, y = int(k) / 30;
    REQUIRE(std::abs(out.rgba[4 * k] - (128 + 255 * x / 30 / 2)) <= 8);
    REQUIRE(std::abs(out.rgba[4 * k + 1] - 60 * y / 12) <= 8);
    REQUIRE(out.rgba[4 * k + 2] == 20);
  }
}

TEST_CASE("color_transfer: the same seed gives the same picture, for any number of threads") {
  Folder const folder;
  write_png(folder / "a.png", gradient(64, 48, false));
  write_png(folder / "b.png", gradient(64, 48, true));
  std::string const common = "a.png b.png --samples 150 -o ";
  REQUIRE(folder.run(common + (folder / "1.png").string()).exit_code == 0);
  REQUIRE(folder.run(common + (folder / "2.png").string() + " --threads 2").exit_code == 0);
  REQUIRE(folder.run(common + (folder / "3.png").string() + " --seed 9").exit_code == 0);
  auto const one = example::read_image(folder / "1.png").rgba;
  CHECK(one == example::read_image(folder / "2.png").rgba);
  CHECK(one != example::read_image(folder / "3.png").rgba);
}

TEST_CASE("color_transfer: one colour, one pixel, and strength 0") {
  Folder const folder;
  write_png(folder / "flat.png",
            picture(9, 7, false, [](int, int) { return Colour{200, 40, 10, 255}; }));
  write_png(folder / "pixel.png",
            picture(1, 1, false, [](int, int) { return Colour{5, 90, 250, 255}; }));
  std::string const out = (folder / "out.png").string();
  REQUIRE(folder.run("flat.png pixel.png -o " + out).exit_code == 0);
  Image image = example::read_image(out);
  CHECK(image.width == 9);
  CHECK(image.rgba[0] == 5);
  CHECK(image.rgba[1] == 90);
  CHECK(image.rgba[2] == 250);
  REQUIRE(folder.run("pixel.png flat.png -o " + out).exit_code == 0);
  image = example::read_image(out);
  CHECK(image.pixels() == 1);
  CHECK(image.rgba[0] == 200);
  REQUIRE(folder.run("flat.png flat.png -o " + out).exit_code == 0);
  REQUIRE(folder.run("flat.png pixel.png --strength 0 -o " + out).exit_code == 0);
  CHECK(example::read_image(out).rgba[0] == 200);
}

TEST_CASE("color_transfer: alpha is kept and weighs, invisible pixels have no palette") {
  Folder const folder;
  write_png(folder / "half.png", picture(8, 2, true, [](int x, int) {
              return x < 4 ? Colour{250, 0, 0, 255} : Colour{0, 250, 0, 0};
            }));
  write_png(folder / "grey.png",
            picture(4, 4, false, [](int, int) { return Colour{77, 77, 77, 255}; }));
  std::string const out = (folder / "out.png").string();
  REQUIRE(folder.run("half.png grey.png -o " + out).exit_code == 0);
  Image const image = example::read_image(out);
  CHECK(image.has_alpha);
  CHECK(image.rgba[0] == 77);
  CHECK(image.rgba[3] == 255);
  CHECK(image.rgba[4 * 7 + 3] == 0);
  REQUIRE(folder.run("grey.png half.png -o " + out).exit_code == 0);
  CHECK(example::read_image(out).rgba[0] == 250);  // the invisible green is not in the palette
  write_png(folder / "glass.png", picture(2, 2, true, [](int, int) { return Colour{1, 2, 3, 0}; }));
  Run const invisible = folder.run("glass.png grey.png -o " + out);
  CHECK(invisible.exit_code == 1);
  CHECK(contains(invisible.output, "no visible pixel"));
}

TEST_CASE("color_transfer: a greyscale picture is read as colours") {
  Folder const folder;
  std::ofstream pgm(folder / "grey.pgm", std::ios::binary);
  pgm << "P5\n4 2\n255\n" << std::string(8, char(100));
  pgm.close();
  write_png(folder / "b.png", gradient(20, 20, false));
  Run const run = folder.run("grey.pgm b.png -o " + (folder / "out.png").string());
  CAPTURE(run.output);
  CHECK(run.exit_code == 0);
  CHECK(example::read_image(folder / "out.png").width == 4);
}

TEST_CASE("color_transfer: unreadable files are named with the reason") {
  Folder const folder;
  write_png(folder / "a.png", gradient(30, 30, true));
  std::string const out = " --samples 50 -o " + (folder / "out.png").string();
  auto const refused = [&](std::string const& arguments, std::string const& reason) {
    Run const run = folder.run(arguments + out);
    CAPTURE(arguments, run.output);
    CHECK(run.exit_code == 1);
    CHECK(contains(run.output, reason));
  };
  refused("missing.jpg a.png", "missing.jpg': no such file");
  refused("a.png missing.jpg", "missing.jpg': no such file");
  fs::create_directory(folder / "sub");
  refused("sub a.png", "is a folder");
  std::ofstream(folder / "text.png") << "no picture at all";
  refused("text.png a.png", "text.png': is not a picture that can be read");
  std::ofstream(folder / "empty.png");
  refused("empty.png a.png", "is empty");

  std::ifstream whole(folder / "a.png", std::ios::binary);
  std::string const bytes{std::istreambuf_iterator<char>(whole), {}};
  std::ofstream(folder / "half.png", std::ios::binary) << bytes.substr(0, bytes.size() / 2);
  refused("half.png a.png", "half.png': is truncated or damaged");

  Image const photo = gradient(60, 60, false);
  stbi_write_jpg((folder / "photo.jpg").string().c_str(), 60, 60, 4, photo.rgba.data(), 90);
  CHECK(folder.run("photo.jpg a.png" + out).exit_code == 0);
  std::ifstream jpeg(folder / "photo.jpg", std::ios::binary);
  std::string const scan{std::istreambuf_iterator<char>(jpeg), {}};
  for (std::size_t const size : {scan.size() - 2, scan.size() / 2, std::size_t(100)}) {
    std::ofstream(folder / "cut.jpg", std::ios::binary) << scan.substr(0, size);
    refused("cut.jpg a.png", "cut.jpg': is ");
  }

  Run const unwritable = folder.run("a.png a.png -o " + (folder / "text.png" / "out.png").string());
  CHECK(unwritable.exit_code == 1);
  CHECK(contains(unwritable.output, "can't be written"));
}

TEST_CASE("color_transfer: the command line explains itself and refuses nonsense") {
  Folder const folder;
  Run const help = folder.run("--help");
  CHECK(help.exit_code == 0);
  for (char const* const option :
       {"--output", "--data", "--samples", "--blur", "--tolerance", "--seed", "--threads"}) {
    CHECK(contains(help.output, option));
  }
  CHECK(folder.run("--samples 0").exit_code != 0);
  CHECK(folder.run("--blur -1").exit_code != 0);
  CHECK(folder.run("--no-such-option").exit_code != 0);
}
