"""The programs for networks of signals: they read rows of numbers, one for each moment, and prepare nothing.

A window is a CSV without a header, or float32 in that order (`golden/input.raw`); the file standardises it.
How answers are read is said by the tables of the languages beside this file.
"""

from __future__ import annotations

from collections.abc import Callable

from . import cpp, kotlin, python, swift
from .facts import AppFacts, filled, numbers, quoted

_PYTHON = '''"""@Verb@ @PLURAL@ with @FILE@. Needs numpy and onnxruntime.

python @verb@.py @ONE@.csv    @ANSWER@ of a @ONE@: rows of @CHANNELS@ numbers, or a .npy of that shape
python @verb@.py --check      whether this machine answers as the golden pair says
"""

import json
import sys
@IMPORT@from pathlib import Path

import numpy as np
import onnxruntime as ort

FOLDER = Path(__file__).resolve().parent.parent
MODEL = FOLDER / @FILE_TEXT@
CLASSES = @CLASSES@
SAMPLES, CHANNELS = @SAMPLES@, @CHANNELS@
@RATE@

@READ_FILE@def read(path: Path) -> np.ndarray:
    """(SAMPLES, CHANNELS): a row for each moment, in the units of the training data."""
@READ_SUFFIX@    values = np.load(path) if path.suffix == ".npy" else np.loadtxt(path, delimiter=",", ndmin=2)
    if values.shape != (SAMPLES, CHANNELS):
        sys.exit(f"{path}: has the shape {values.shape}; give {SAMPLES} rows of {CHANNELS} numbers")
    return values


def @verb@(session: ort.InferenceSession, values: np.ndarray) -> np.ndarray:
    """@OUTPUT@, one per @EACH@. The file standardises the values itself."""
    x = values.astype(np.float32).T.reshape(1, CHANNELS, 1, SAMPLES)
    x = np.repeat(np.ascontiguousarray(x), @BATCH@, axis=0)
    return session.run([@OUTPUT_NAME@], {@INPUT_NAME@: x})[0][0]


def main(arguments: list[str]) -> int:
    if not arguments or (arguments[0].startswith("-") and arguments != ["--check"]):
        print(__doc__)
        return 0 if arguments[:1] in (["-h"], ["--help"]) else 2
    session = ort.InferenceSession(str(MODEL), providers=["CPUExecutionProvider"])
    if arguments == ["--check"]:
        golden = json.loads((FOLDER / "golden/expected.json").read_text(encoding="utf-8"))
        expected = golden["files"][MODEL.name]
        scores = @verb@(session, read(FOLDER / golden["sample"]))
        difference = float(np.abs(scores - np.array(expected["outputs"])).max())
        good = difference <= expected["tolerance"]@SAME@
        verdict = "good" if good else "WRONG"
        print(f"{verdict}: difference {difference:.2g}, allowed {expected['tolerance']:.2g}")
        return 0 if good else 1
    failed = False
    for path in arguments:
        try:
            scores = @verb@(session, read(Path(path)))
        except (OSError, ValueError@WAV_ERROR@) as error:
            print(f"{path}: {error}", file=sys.stderr)
            failed = True
            continue
        print(path, @READ@)
    return 2 if failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
'''

_CPP = r"""// @Verb@ a @ONE@ with @FILE@. Needs onnxruntime's C++ headers and library.
//
//   g++ -std=c++17 @verb@.cpp -I ONNXRUNTIME/include -L ONNXRUNTIME/lib -lonnxruntime -o @verb@
//   ./@verb@ @FILE@ ../golden/input.raw --check    does this machine answer as the golden pair says?
//   ./@verb@ @FILE@ values.raw                     @SAMPLES@ rows of @CHANNELS@ float32
//
// The file standardises the values itself.
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

constexpr size_t kBatch = @BATCH@, kSamples = @SAMPLES@, kChannels = @CHANNELS@;
const std::array<const char*, @N@> kClasses = {@CLASSES@};
const std::array<float, @N@> kExpected = {@EXPECTED@};
constexpr float kTolerance = @TOLERANCE@;
const std::array<int64_t, 4> kShape = {@SHAPE@};

int main(int argc, char** argv) {
  if (argc < 3) {
    std::fprintf(stderr, "usage: @verb@ MODEL VALUES.raw [--check]\n");
    return 2;
  }
  std::ifstream file(argv[2], std::ios::binary);
  const std::vector<char> bytes{std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
  if (bytes.size() != kSamples * kChannels * sizeof(float)) {
    std::fprintf(stderr, "%s has %zu bytes\n", argv[2], bytes.size());
    return 2;
  }
  std::vector<float> values(kSamples * kChannels), input(kBatch * kSamples * kChannels);
  std::memcpy(values.data(), bytes.data(), bytes.size());
  for (size_t b = 0; b < kBatch; ++b)
    for (size_t c = 0; c < kChannels; ++c)
      for (size_t t = 0; t < kSamples; ++t)
        input[(b * kChannels + c) * kSamples + t] = values[t * kChannels + c];
"""

_KOTLIN = """// @Verb@ @PLURAL@ with @FILE@ on Android. The file standardises the values itself.
//
//   build.gradle.kts:  implementation("com.microsoft.onnxruntime:onnxruntime-android:@ORT@")
//   assets:            @FILE@, golden/input.raw
//   val @noun@ = @Noun@(assets.open(@FILE_TEXT@).readBytes())
//   check(@noun@.answersAsGolden(assets.open("golden/input.raw").readBytes()))
import ai.onnxruntime.OnnxTensor
import ai.onnxruntime.OrtEnvironment
import ai.onnxruntime.OrtSession
import java.nio.ByteBuffer
import java.nio.ByteOrder
import java.nio.FloatBuffer
import kotlin.math.abs

class @Noun@(model: ByteArray) : AutoCloseable {
    private val environment = OrtEnvironment.getEnvironment()
    private val session: OrtSession = environment.createSession(model, OrtSession.SessionOptions())

    /** @Answer@ and @OUTPUT@, one per @EACH@. values: a row of CHANNELS numbers for each moment. */
    fun @verb@(values: FloatArray): Pair<@KIND@, FloatArray> {
        val scores = run(values)
        return Pair(@READ@, scores)
    }

    /** Whether this device answers as the golden pair says; raw: the bytes of golden/input.raw. */
    fun answersAsGolden(raw: ByteArray): Boolean {
        val values = FloatArray(SAMPLES * CHANNELS)
        ByteBuffer.wrap(raw).order(ByteOrder.LITTLE_ENDIAN).asFloatBuffer().get(values)
        val scores = run(values)
        return scores.indices.all { abs(scores[it] - EXPECTED[it]) <= TOLERANCE }
    }

    private fun run(values: FloatArray): FloatArray {
        require(values.size == SAMPLES * CHANNELS)
        val buffer = FloatBuffer.allocate(BATCH * values.size)
        repeat(BATCH) {
            for (c in 0 until CHANNELS) {
                for (t in 0 until SAMPLES) {
                    buffer.put(values[t * CHANNELS + c])
                }
            }
        }
        buffer.rewind()
        OnnxTensor.createTensor(environment, buffer, SHAPE).use { input ->
            session.run(mapOf(@INPUT_NAME@ to input)).use { answers ->
                val rows = answers.get(@OUTPUT_NAME@).get().value as Array<*>
                return rows[0] as FloatArray
            }
        }
    }

    override fun close() = session.close()

    companion object {
        const val BATCH = @BATCH@
        const val SAMPLES = @SAMPLES@
        const val CHANNELS = @CHANNELS@
        const val TOLERANCE = @TOLERANCE@
        val CLASSES = arrayOf(@CLASSES@)
        val EXPECTED = floatArrayOf(@EXPECTED@)
        private val SHAPE = longArrayOf(@SHAPE@)
    }
}
"""

_SWIFT = """// @Verb@ @PLURAL@ with @FILE@ on iOS and macOS. The file standardises the values itself.
//
//   Package: https://github.com/microsoft/onnxruntime-swift-package-manager
//   Resources: @FILE@, golden/input.raw
//   let @noun@ = try @Noun@(model: Bundle.main.path(forResource: @STEM@, ofType: @SUFFIX@)!)
//   precondition(try @noun@.answersAsGolden(raw: Data(contentsOf: rawURL)))
import Foundation
import OnnxRuntimeBindings

final class @Noun@ {
    static let batch = @BATCH@, samples = @SAMPLES@, channels = @CHANNELS@
    static let classes = [@CLASSES@]
    static let expected: [Float] = [@EXPECTED@]
    static let tolerance: Float = @TOLERANCE@
    static let shape: [NSNumber] = [@SHAPE@]
    private let environment: ORTEnv
    private let session: ORTSession

    init(model path: String) throws {
        environment = try ORTEnv(loggingLevel: .warning)
        session = try ORTSession(env: environment, modelPath: path, sessionOptions: nil)
    }

    /// @Answer@ and @OUTPUT@, one per @EACH@. values: a row of `channels` numbers for each moment.
    func @verb@(_ values: [Float]) throws -> (@KIND@, [Float]) {
        let scores = try run(values)
        return (@READ@, scores)
    }

    /// Whether this device answers as the golden pair says; raw: the bytes of golden/input.raw.
    func answersAsGolden(raw: Data) throws -> Bool {
        let values = raw.withUnsafeBytes { Array($0.bindMemory(to: Float.self)) }
        return zip(try run(values), Self.expected).allSatisfy { abs($0 - $1) <= Self.tolerance }
    }

    private func run(_ values: [Float]) throws -> [Float] {
        precondition(values.count == Self.samples * Self.channels)
        var rows: [Float] = []
        rows.reserveCapacity(Self.batch * values.count)
        for _ in 0..<Self.batch {
            for c in 0..<Self.channels {
                for t in 0..<Self.samples {
                    rows.append(values[t * Self.channels + c])
                }
            }
        }
        let data = rows.withUnsafeBytes { NSMutableData(bytes: $0.baseAddress, length: $0.count) }
        let input = try ORTValue(tensorData: data, elementType: .float, shape: Self.shape)
        let answers = try session.run(
            withInputs: [@INPUT_NAME@: input], outputNames: [@OUTPUT_NAME@], runOptions: nil)
        let bytes = try answers[@OUTPUT_NAME@]!.tensorData() as Data
        return bytes.withUnsafeBytes { Array($0.bindMemory(to: Float.self).prefix(Self.classes.count)) }
    }
}
"""

_WAV = """def wave_of(path: Path) -> np.ndarray:
    \"\"\"A WAV of 16 bits: the mean of its channels in -1..1, the middle of it, or it between zeros.\"\"\"
    with wave.open(str(path), "rb") as file:
        if (file.getsampwidth(), file.getframerate()) != (2, RATE_HZ):
            sys.exit(f"{path}: convert it to 16 bits and {RATE_HZ} Hz")
        samples = np.frombuffer(file.readframes(file.getnframes()), "<i2").reshape(-1, file.getnchannels())
    sound = samples.mean(axis=1) / 32768
    spare = len(sound) - SAMPLES
    if spare >= 0:
        return sound[spare // 2 : spare // 2 + SAMPLES].reshape(SAMPLES, 1)
    return np.pad(sound, (-spare // 2, -spare - -spare // 2)).reshape(SAMPLES, 1)


"""
_SUFFIX = """    if path.suffix.lower() == ".wav":
        return wave_of(path)
"""

_ROWS: dict[str, tuple[str, Callable[[str], str], dict[str, object], str]] = {
    python.FILE: (_PYTHON, repr, dict(python.READ), ""),
    cpp.FILE: (_CPP + cpp.RUN, quoted, dict(cpp.READ), "f"),
    kotlin.FILE: (_KOTLIN, kotlin.kotlin_text, dict(kotlin.READ), "f"),
    swift.FILE: (_SWIFT, swift.swift_text, dict(swift.READ), ""),
}
"""By the file: template, how a text is quoted, how answers are read, what ends a number."""


def snippet(file: str, facts: AppFacts) -> str:
    """The program of a language, which `file`, its `FILE`, names."""
    import onnxruntime

    template, text, read, suffix = _ROWS[file]
    row = read[facts.readable.reading]
    kind, reads = row if isinstance(row, tuple) else ("", str(row))
    threshold = f"{facts.threshold:g}" if file == python.FILE else numbers([facts.threshold], suffix)
    stem, _, ending = facts.file.rpartition(".")
    names = ", ".join(map(text, facts.class_names))
    is_sound = facts.rate_hz > 0
    values = {
        **facts.words,
        "IMPORT": "import wave\n" if is_sound else "",
        "RATE": f"RATE_HZ = {facts.rate_hz}\n" if is_sound else "",
        "READ_FILE": _WAV if is_sound else "",
        "READ_SUFFIX": _SUFFIX if is_sound else "",
        "WAV_ERROR": ", wave.Error, EOFError" if is_sound else "",
        "ONE": facts.kind.name,
        "PLURAL": facts.kind.plural,
        "FILE": facts.file,
        "FILE_TEXT": text(facts.file),
        "STEM": text(stem),
        "SUFFIX": text(ending),
        "ORT": onnxruntime.__version__,
        "CLASSES": f"[{names}]" if file == python.FILE else names,
        "N": str(len(facts.class_names)),
        "SAMPLES": str(facts.width),
        "CHANNELS": str(facts.channels),
        "BATCH": str(facts.batch),
        "OUTPUT": facts.outputs.capitalize() if file == python.FILE else facts.outputs,
        "EACH": facts.readable.each,
        "ANSWER": facts.readable.answer,
        "Answer": facts.readable.answer.capitalize(),
        "KIND": str(kind),
        "TYPE": "float",
        "STEP": facts.step,
        "READ": reads.replace("THRESHOLD", threshold),
        "SAME": python.SAME if facts.readable.reading == "top" else "",
        "EXPECTED": numbers(facts.expected, suffix),
        "TOLERANCE": numbers([facts.tolerance], suffix),
        "SHAPE": ", ".join(map(str, facts.shape)),
        "INPUT_NAME": text(facts.input_name),
        "OUTPUT_NAME": text(facts.output_name),
    }
    return filled(template, values)
