"""The program in C++: needs onnxruntime's headers and library, and nothing else."""

from __future__ import annotations

from . import boxes
from .facts import CROP, AppFacts, filled, numbers, quoted

FILE = "snippets/{verb}.cpp"

_TEMPLATE = r"""// @Verb@ an image with @FILE@. Needs onnxruntime's C++ headers and library.
//
//   g++ -std=c++17 @verb@.cpp -I ONNXRUNTIME/include -L ONNXRUNTIME/lib -lonnxruntime -o @verb@
//   ./@verb@ @FILE@ ../golden/input.raw --check    does this machine answer as the golden pair says?
//   ./@verb@ @FILE@ pixels.raw                     @HEIGHT@ rows of @WIDTH@ pixels, each @ORDER@
//
// @CROP@
#include <onnxruntime_cxx_api.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <fstream>
#include <iterator>
#include <vector>

constexpr int kBatch = @BATCH@, kHeight = @HEIGHT@, kWidth = @WIDTH@, kChannels = @CHANNELS@;
const std::array<const char*, @N@> kClasses = {@CLASSES@};
const std::array<float, @M@> kExpected = {@EXPECTED@};
constexpr float kTolerance = @TOLERANCE@;
const std::array<int64_t, 4> kShape = {@SHAPE@};

// One image, (height, width, channel), as the network takes it.
std::vector<@TYPE@> prepare(const std::vector<uint8_t>& pixels) {
  std::vector<@TYPE@> out(static_cast<size_t>(kBatch) * kHeight * kWidth * kChannels);
  const size_t size = static_cast<size_t>(kHeight) * kWidth * kChannels;
@NORMALISATION@
  for (int b = 0; b < kBatch; ++b)
    for (int y = 0; y < kHeight; ++y)
      for (int x = 0; x < kWidth; ++x)
        for (int c = 0; c < kChannels; ++c) {
          const uint8_t pixel = pixels[(static_cast<size_t>(y) * kWidth + x) * kChannels + c];
          out[b * size + @PLACE@] = @VALUE@;
        }
  return out;
}

int main(int argc, char** argv) {
  if (argc < 3) {
    std::fprintf(stderr, "usage: @verb@ MODEL PIXELS.raw [--check]\n");
    return 2;
  }
  std::ifstream file(argv[2], std::ios::binary);
  const std::vector<uint8_t> pixels{std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
  if (pixels.size() != static_cast<size_t>(kHeight) * kWidth * kChannels) {
    std::fprintf(stderr, "%s has %zu bytes\n", argv[2], pixels.size());
    return 2;
  }
  std::vector<@TYPE@> input = prepare(pixels);
"""

RUN = r"""  Ort::Env env(ORT_LOGGING_LEVEL_WARNING, "@verb@");
  Ort::SessionOptions options;
  Ort::Session session(env, argv[1], options);
  Ort::MemoryInfo memory = Ort::MemoryInfo::CreateCpu(OrtArenaAllocator, OrtMemTypeDefault);
  Ort::Value tensor =
      Ort::Value::CreateTensor<@TYPE@>(memory, input.data(), input.size(), kShape.data(), kShape.size());
  const char* inputs[] = {@INPUT_NAME@};
  const char* outputs[] = {@OUTPUT_NAME@};
  auto answers = session.Run(Ort::RunOptions{nullptr}, inputs, &tensor, 1, outputs, 1);
  const float* scores = answers[0].GetTensorData<float>();
@READ@
  if (argc > 3 && std::strcmp(argv[3], "--check") == 0) {
    float difference = 0;
    for (size_t i = 0; i < kExpected.size(); ++i)
      difference = std::max(difference, std::fabs(scores[i@STEP@] - kExpected[i]));
    const bool good = difference <= kTolerance;
    std::printf("%s: difference %.2g, allowed %.2g\n", good ? "good" : "WRONG", difference, kTolerance);
    return good ? 0 : 1;
  }
  return 0;
}
"""
"""The end of `main`: run the file on `input`, read the answers, and check them with `--check`."""


READ = {
    "boxes": "",  # `boxes.CPP` finds them
    "top": """  const size_t best = std::max_element(scores, scores + kClasses.size()) - scores;
  std::printf("%s %.6g\\n", kClasses[best], scores[best]);""",
    "above": """  for (size_t i = 0; i < kClasses.size(); ++i)
    if (scores[i] > THRESHOLD) std::printf("%s %.6g\\n", kClasses[i], scores[i]);""",
    "values": """  for (size_t i = 0; i < kClasses.size(); ++i)
    std::printf("%s %.6g\\n", kClasses[i], scores[i]);""",
    "mask": """  std::vector<uint8_t> mask(static_cast<size_t>(kHeight) * kWidth, 0);
  std::vector<size_t> count(kClasses.size(), 0);
  for (size_t i = 0; i < mask.size(); ++i) {
    for (size_t c = 1; c < kClasses.size(); ++c)
      if (scores[c * mask.size() + i] > scores[mask[i] * mask.size() + i]) mask[i] = static_cast<uint8_t>(c);
    ++count[mask[i]];
  }
  for (size_t c = 0; c < kClasses.size(); ++c)
    if (count[c] > 0) std::printf("%s %zu pixels\\n", kClasses[c], count[c]);""",
}


def snippet(facts: AppFacts) -> str:
    """The program."""
    last = "(static_cast<size_t>(y) * kWidth + x) * kChannels + c"
    first = "(static_cast<size_t>(c) * kHeight + y) * kWidth + x"
    constants = (
        f"  const float mean[] = {{{numbers(facts.mean, 'f')}}}, std[] = {{{numbers(facts.std, 'f')}}};"
    )
    values = {
        **facts.words,
        "FILE": facts.file,
        "CROP": CROP,
        "ORDER": "one byte, grey" if facts.channels == 1 else "three bytes: red, green, blue",
        "READ": boxes.finder(boxes.CPP, facts)
        or READ[facts.readable.reading].replace("THRESHOLD", numbers([facts.threshold], "f")),
        "BATCH": str(facts.batch),
        "HEIGHT": str(facts.height),
        "WIDTH": str(facts.width),
        "CHANNELS": str(facts.channels),
        "N": str(len(facts.class_names)),
        "M": str(len(facts.expected)),
        "STEP": facts.step,
        "CLASSES": ", ".join(map(quoted, facts.class_names)),
        "EXPECTED": numbers(facts.expected, "f"),
        "TOLERANCE": numbers([facts.tolerance], "f"),
        "SHAPE": ", ".join(map(str, facts.shape)),
        "TYPE": "uint8_t" if facts.pixels else "float",
        "NORMALISATION": "  // The file normalises the pixels itself." if facts.pixels else constants,
        "PLACE": last if facts.channels_last else first,
        "VALUE": "pixel" if facts.pixels else "(pixel / 255.0f - mean[c]) / std[c]",
        "INPUT_NAME": quoted(facts.input_name),
        "OUTPUT_NAME": quoted(facts.output_name),
    }
    return filled(_TEMPLATE + RUN, values)
