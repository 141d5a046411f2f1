// SPDX-License-Identifier: MIT
// replay COUNT [FILE...]: runs the fuzz target on the files and on COUNT inputs of a seeded
// generator, for compilers without libFuzzer. Ends normally, or in the target's abort.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <fstream>
#include <iostream>
#include <iterator>
#include <random>
#include <vector>

extern "C" int LLVMFuzzerTestOneInput(std::uint8_t const* data, std::size_t size);

int main(int count, char** words) {
  std::vector<std::uint8_t> bytes;
  for (int i = 2; i < count; ++i) {
    std::ifstream file(words[i], std::ios::binary);
    if (!file) {
      std::cerr << "cannot read " << words[i] << '\n';
      return 2;
    }
    bytes.assign(std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>());
    LLVMFuzzerTestOneInput(bytes.data(), bytes.size());
  }
  long const runs = count > 1 ? std::atol(words[1]) : 1000;
  std::mt19937_64 random(20240229);
  for (long run = 0; run < runs; ++run) {
    bytes.resize(random() % 600);
    for (std::uint8_t& byte : bytes) byte = static_cast<std::uint8_t>(random());
    LLVMFuzzerTestOneInput(bytes.data(), bytes.size());
  }
  std::cout << "replayed " << (count > 2 ? count - 2 : 0) << " files and " << runs << " inputs\n";
}
