// SPDX-License-Identifier: MIT
// Repaints a photograph with the palette of another.
//
// Pixels are points in the colour cube. A sample of each picture is matched by entropic optimal
// transport; the entropic map extends the matching from the sample to every colour of the first
// picture. The certified gap says how far the matching can be from the optimal one.
#include <Eigen/Core>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <exception>
#include <functional>
#include <map>
#include <string>
#include <vector>

#include "support/image.hpp"
#include "support/progress_bar.hpp"
#include <monge/core/random.hpp>
#include <monge/core/threads.hpp>
#include <monge/ot.hpp>

namespace {

using example::Image;
using monge::Index;

struct Settings {
  std::string data = "/usr/share/backgrounds/mate/nature";  // Debian's package mate-backgrounds
  std::string picture = "Dune.jpg", palette = "Storm.jpg", output = "color_transfer.png";
  Index samples = 1000;
  double blur = 0.02, tolerance = 1e-6, strength = 1;
  std::uint64_t seed = 1;
  int threads = 0;
};

/// Different colours (3 x k, channels from 0 to 1) with the share of the picture that each covers.
struct Palette {
  Eigen::MatrixXd colours;
  Eigen::VectorXd weights;
};

std::uint32_t colour_of(Image const& image, std::size_t pixel) {
  std::uint8_t const* const p = image.rgba.data() + 4 * pixel;
  return std::uint32_t(p[0]) << 16 | std::uint32_t(p[1]) << 8 | p[2];
}

Eigen::Vector3d as_point(std::uint32_t colour) {
  return Eigen::Vector3d(colour >> 16, colour >> 8 & 255, colour & 255) / 255;
}

/// The colours of up to `count` random visible pixels. Opacity is weight.
Palette sample(Image const& image, Index count, monge::RandomKey key) {
  std::vector<std::size_t> visible;
  for (std::size_t k = 0; k < image.pixels(); ++k) {
    if (image.rgba[4 * k + 3] > 0) visible.push_back(k);
  }
  if (visible.empty()) throw std::runtime_error("a picture has no visible pixel");
  std::map<std::uint32_t, double> opacity;
  Index const size = static_cast<Index>(visible.size());
  for (Index const k : monge::random::choose(key, std::min(count, size), size)) {
    std::size_t const pixel = visible[static_cast<std::size_t>(k)];
    opacity[colour_of(image, pixel)] += image.rgba[4 * pixel + 3];
  }
  Palette palette{Eigen::MatrixXd(3, opacity.size()), Eigen::VectorXd(opacity.size())};
  Index j = 0;
  for (auto const& [colour, weight] : opacity) {
    palette.colours.col(j) = as_point(colour);
    palette.weights(j++) = weight;
  }
  palette.weights /= palette.weights.sum();
  return palette;
}

/// Replaces every colour c by move(c), each different colour mapped once.
void repaint(Image& image, std::function<Eigen::MatrixXd(Eigen::MatrixXd const&)> const& move) {
  std::vector<std::uint32_t> colours(image.pixels());
  for (std::size_t k = 0; k < colours.size(); ++k) colours[k] = colour_of(image, k);
  std::sort(colours.begin(), colours.end());
  colours.erase(std::unique(colours.begin(), colours.end()), colours.end());

  Eigen::MatrixXd points(3, colours.size());
  for (std::size_t j = 0; j < colours.size(); ++j) points.col(Index(j)) = as_point(colours[j]);
  Eigen::MatrixXd const moved = move(points);
  for (std::size_t k = 0; k < image.pixels(); ++k) {
    auto const place = std::lower_bound(colours.begin(), colours.end(), colour_of(image, k));
    Index const j = place - colours.begin();
    for (Index channel = 0; channel < 3; ++channel) {
      image.rgba[4 * k + std::size_t(channel)] =
          std::uint8_t(std::clamp(moved(channel, j), 0.0, 1.0) * 255 + 0.5);
    }
  }
}

int run(Settings const& settings) {
  using namespace monge;
  namespace fs = std::filesystem;
  Image image = example::read_image(fs::path(settings.data) / settings.picture);
  Image const model = example::read_image(fs::path(settings.data) / settings.palette);

  Palette const from = sample(image, settings.samples, {settings.seed, 0});
  Palette const to = sample(model, settings.samples, {settings.seed, 1});
  auto const cost = ot::cost_matrix(from.colours, to.colours, ot::squared_euclidean{});
  double const mean_cost = from.weights.dot(cost * to.weights);
  double const epsilon = mean_cost > 0 ? settings.blur * mean_cost : 1;

  example::ProgressBar bar("transport", settings.tolerance);
  Parallel const threads = parallel::threads(settings.threads);
  auto const r = ot::sinkhorn(
      cost, from.weights, to.weights,
      {.epsilon = epsilon, .tolerance = settings.tolerance, .parallel = threads}, {}, bar);
  auto const bounds = ot::exact_gap(cost, r);

  Deadline const clock(infinity);
  repaint(image, [&](Eigen::MatrixXd const& colours) -> Eigen::MatrixXd {
    auto const lazy = ot::point_cloud(colours, to.colours, ot::squared_euclidean{});
    Eigen::MatrixXd const moved = ot::barycentric_map(lazy, r, to.colours, threads);
    return colours + settings.strength * (moved - colours);
  });
  example::write_png(settings.output, image);

  std::printf("picture         %s, %d x %d\n", settings.picture.c_str(), image.width, image.height);
  std::printf("palette         %s, %d x %d\n", settings.palette.c_str(), model.width, model.height);
  std::printf("size            %lld x %lld colours\n", static_cast<long long>(cost.rows()),
              static_cast<long long>(cost.cols()));
  std::printf("epsilon         %.3e\n", epsilon);
  std::printf("status          %s\n", std::string(message(r.status)).c_str());
  std::printf("iterations      %lld\n", static_cast<long long>(r.iterations));
  std::printf("marginal error  %.2e\n", r.marginal_error);
  std::printf("transport cost  %.6f\n", r.transport_cost);
  std::printf("certified gap   %.6f (the optimum is between %.6f and %.6f)\n", bounds.gap,
              bounds.lower, bounds.upper);
  std::printf("seconds         %.2f transport, %.2f map\n", r.seconds, clock.elapsed());
  std::printf("written         %s\n", settings.output.c_str());
  return r.converged() ? 0 : 3;
}

}  // namespace

int main(int argc, char** argv) {
  Settings settings;
  CLI::App app("Repaints a photograph with the palette of another, by optimal transport.");
  app.add_option("picture", settings.picture, "the photograph to repaint (JPEG, PNG, ...)")
      ->capture_default_str();
  app.add_option("palette", settings.palette, "the photograph whose colours to take")
      ->capture_default_str();
  app.add_option("-o,--output", settings.output, "the PNG to write")->capture_default_str();
  app.add_option("--data", settings.data,
                 "folder of the two photographs, unless paths are absolute")
      ->capture_default_str();
  app.add_option("-n,--samples", settings.samples, "pixels drawn from each photograph")
      ->check(CLI::Range(1, 100'000))
      ->capture_default_str();
  app.add_option("--blur", settings.blur, "entropic strength, as a share of the mean cost")
      ->check(CLI::Range(1e-5, 1e3))
      ->capture_default_str();
  app.add_option("--tolerance", settings.tolerance, "relative error allowed in the marginals")
      ->check(CLI::Range(0.0, 1.0))
      ->capture_default_str();
  app.add_option("--strength", settings.strength, "0 keeps the picture, 1 repaints it fully")
      ->check(CLI::Range(0.0, 1.0))
      ->capture_default_str();
  app.add_option("--seed", settings.seed, "which pixels are drawn")->capture_default_str();
  app.add_option("--threads", settings.threads, "0: all of the machine's; the result is the same")
      ->check(CLI::Range(0, 256))
      ->capture_default_str();
  CLI11_PARSE(app, argc, argv);
  try {
    return run(settings);
  } catch (std::exception const& error) {
    std::fprintf(stderr, "color_transfer: %s\n", error.what());
    return 1;
  }
}
