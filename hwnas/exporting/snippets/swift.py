"""The class in Swift: for iOS and macOS, with the package `onnxruntime-swift-package-manager`."""

from __future__ import annotations

from . import boxes
from .facts import CROP, AppFacts, filled, numbers, quoted

FILE = "snippets/{noun}.swift"

_TEMPLATE = """// @Verb@ images with @FILE@ on iOS and macOS.
//
//   Package: https://github.com/microsoft/onnxruntime-swift-package-manager
//   Resources: @FILE@, golden/input.raw
//   let @noun@ = try @Noun@(model: Bundle.main.path(forResource: @STEM@, ofType: @SUFFIX@)!)
//   precondition(try @noun@.answersAsGolden(raw: Data(contentsOf: rawURL)))
//
// Networks were trained on images that were made so: @CROP@
// Core Graphics with interpolation quality `high` is near to that.
import CoreGraphics
import Foundation
import OnnxRuntimeBindings

final class @Noun@ {
    static let batch = @BATCH@, height = @HEIGHT@, width = @WIDTH@, channels = @CHANNELS@
    static let classes = [@CLASSES@]
    static let expected: [Float] = [@EXPECTED@]
    static let tolerance: Float = @TOLERANCE@
    static let shape: [NSNumber] = [@SHAPE@]
@CONSTANTS@
    private let environment: ORTEnv
    private let session: ORTSession

    init(model path: String) throws {
        environment = try ORTEnv(loggingLevel: .warning)
        session = try ORTSession(env: environment, modelPath: path, sessionOptions: nil)
    }

    /// @Answer@ and @OUTPUT@, one per @EACH@.
    func @verb@(_ image: CGImage) throws -> (@KIND@, [Float]) {
        let scores = try run(pixels: Self.pixels(of: image))
        return (@READ@, scores)
    }

    /// Whether this device answers as the golden pair says; raw: the bytes of golden/input.raw.
    func answersAsGolden(raw: Data) throws -> Bool {
        let scores = try run(pixels: [UInt8](raw))
        let expected = Self.expected
        return expected.indices.allSatisfy { abs(scores[$0@STEP@] - expected[$0]) <= Self.tolerance }
    }

    /// pixels: (height, width, channel), 0 to 255.
    private func run(pixels: [UInt8]) throws -> [Float] {
        precondition(pixels.count == Self.height * Self.width * Self.channels)
        var values: [@TYPE@] = []
        values.reserveCapacity(Self.batch * pixels.count)
        for _ in 0..<Self.batch {
@VALUES@
        }
        let data = values.withUnsafeBytes { NSMutableData(bytes: $0.baseAddress, length: $0.count) }
        let input = try ORTValue(tensorData: data, elementType: .@ELEMENT@, shape: Self.shape)
        let answers = try session.run(
            withInputs: [@INPUT_NAME@: input], outputNames: [@OUTPUT_NAME@], runOptions: nil)
        let bytes = try answers[@OUTPUT_NAME@]!.tensorData() as Data
        return bytes.withUnsafeBytes { Array($0.bindMemory(to: Float.self).prefix(@SIZE@)) }
    }

@MASK@    private static func pixels(of image: CGImage) -> [UInt8] {
        let side = min(image.width, image.height)
        let box = CGRect(x: (image.width - side) / 2, y: (image.height - side) / 2, width: side, height: side)
        var rgba = [UInt8](repeating: 0, count: height * width * 4)
        rgba.withUnsafeMutableBytes { buffer in
            let context = CGContext(
                data: buffer.baseAddress, width: width, height: height, bitsPerComponent: 8,
                bytesPerRow: width * 4, space: CGColorSpaceCreateDeviceRGB(),
                bitmapInfo: CGImageAlphaInfo.noneSkipLast.rawValue)!
            context.interpolationQuality = .high
            context.draw(image.cropping(to: box)!, in: CGRect(x: 0, y: 0, width: width, height: height))
        }
        var pixels: [UInt8] = []
        pixels.reserveCapacity(height * width * channels)
        for i in stride(from: 0, to: rgba.count, by: 4) {
@COLOURS@
        }
        return pixels
    }
}
"""

_MASK = """    /// The class of every pixel, row by row.
    private static func mask(of scores: [Float]) -> [Int] {
        let size = height * width
        return (0..<size).map { i in
            classes.indices.max { scores[$0 * size + i] < scores[$1 * size + i] }!
        }
    }

"""
_GREY = """            // The weights of ITU-R 601, as Pillow converts to grey.
            let grey = (299 * Int(rgba[i]) + 587 * Int(rgba[i + 1]) + 114 * Int(rgba[i + 2])) / 1000
            pixels.append(UInt8(grey))"""
_RGB = "            pixels.append(contentsOf: rgba[i..<i + 3])"
_FIRST = """            for c in 0..<Self.channels {
                for i in stride(from: c, to: pixels.count, by: Self.channels) {
                    values.append(@VALUE@)
                }
            }"""


READ = {
    "top": ("String", "Self.classes[scores.indices.max { scores[$0] < scores[$1] }!]"),
    "above": ("[String]", "zip(Self.classes, scores).filter { $0.1 > THRESHOLD }.map { $0.0 }"),
    "values": ("[String: Float]", "Dictionary(uniqueKeysWithValues: zip(Self.classes, scores))"),
    "boxes": ("[Found]", "Self.boxes(of: scores)"),
    "mask": ("[Int]", "Self.mask(of: scores)"),
}
"""The type of what is read, and how it is read."""


def snippet(facts: AppFacts) -> str:
    """The class."""
    value = "pixels[i]" if facts.pixels else "(Float(pixels[i]) / 255 - Self.mean[c]) / Self.std[c]"
    constants = [
        f"    static let {name}: [Float] = [{numbers(values)}]"
        for name, values in (("mean", facts.mean), ("std", facts.std))
    ]
    stem, _, suffix = facts.file.rpartition(".")
    values = {
        **facts.words,
        "FILE": facts.file,
        "STEM": swift_text(stem),
        "SUFFIX": swift_text(suffix),
        "CROP": CROP,
        "BATCH": str(facts.batch),
        "HEIGHT": str(facts.height),
        "WIDTH": str(facts.width),
        "CHANNELS": str(facts.channels),
        "CLASSES": ", ".join(map(swift_text, facts.class_names)),
        "EXPECTED": numbers(facts.expected),
        "TOLERANCE": numbers([facts.tolerance]),
        "SHAPE": ", ".join(map(str, facts.shape)),
        "CONSTANTS": "" if facts.pixels else "\n".join([*constants, ""]),
        "OUTPUT": facts.outputs,
        "EACH": facts.each,
        "Answer": facts.readable.answer.capitalize(),
        "KIND": READ[facts.readable.reading][0],
        "READ": READ[facts.readable.reading][1].replace("THRESHOLD", numbers([facts.threshold])),
        "STEP": facts.step,
        "SIZE": str(facts.n_outputs),
        "MASK": _MASK if facts.readable.reading == "mask" else boxes.finder(boxes.SWIFT, facts),
        "TYPE": "UInt8" if facts.pixels else "Float",
        "ELEMENT": "uInt8" if facts.pixels else "float",
        "VALUES": "            values.append(contentsOf: pixels)"
        if facts.channels_last
        else filled(_FIRST, {"VALUE": value}),
        "INPUT_NAME": swift_text(facts.input_name),
        "OUTPUT_NAME": swift_text(facts.output_name),
        "COLOURS": _GREY if facts.channels == 1 else _RGB,
    }
    return filled(_TEMPLATE, values)


def swift_text(text: str) -> str:
    r"""A text between quotes; Swift spells control characters `\u{1}`."""
    out = quoted(text)
    return "".join(f"\\u{{{part[:4]}}}{part[4:]}" if i else part for i, part in enumerate(out.split("\\u")))
