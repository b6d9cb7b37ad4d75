"""The class in Kotlin: for Android, with the package `com.microsoft.onnxruntime:onnxruntime-android`."""

from __future__ import annotations

from . import boxes
from .facts import CROP, AppFacts, filled, numbers, quoted

FILE = "snippets/{noun}.kt"

_TEMPLATE = """// @Verb@ bitmaps with @FILE@ on Android.
//
//   build.gradle.kts:  implementation("com.microsoft.onnxruntime:onnxruntime-android:@ORT@")
//   assets:            @FILE@, golden/input.raw
//   val @noun@ = @Noun@(assets.open(@FILE_TEXT@).readBytes())
//   check(@noun@.answersAsGolden(assets.open("golden/input.raw").readBytes()))
//
// Networks were trained on images that were made so: @CROP@
// Bitmap.createScaledBitmap is bilinear and not antialiased: shrink photos by halves first, as below.
import ai.onnxruntime.OnnxJavaType
import ai.onnxruntime.OnnxTensor
import ai.onnxruntime.OrtEnvironment
import ai.onnxruntime.OrtSession
import android.graphics.Bitmap
import java.nio.ByteBuffer
import java.nio.ByteOrder
import java.nio.FloatBuffer
import kotlin.math.abs
@IMPORT@
class @Noun@(model: ByteArray) : AutoCloseable {
    private val environment = OrtEnvironment.getEnvironment()
    private val session: OrtSession = environment.createSession(model, OrtSession.SessionOptions())

    /** @Answer@ and @OUTPUT@, one per @EACH@. */
    fun @verb@(photo: Bitmap): Pair<@KIND@, FloatArray> {
        val scores = run(pixelsOf(photo))
        return Pair(@READ@, scores)
    }

    /** Whether this device answers as the golden pair says; raw: the bytes of golden/input.raw. */
    fun answersAsGolden(raw: ByteArray): Boolean {
        val scores = run(raw)
        return EXPECTED.indices.all { abs(scores[it@STEP@] - EXPECTED[it]) <= TOLERANCE }
    }

    /** pixels: (height, width, channel), 0 to 255. */
    private fun run(pixels: ByteArray): FloatArray {
        require(pixels.size == HEIGHT * WIDTH * CHANNELS)
        tensor(pixels).use { input ->
            session.run(mapOf(@INPUT_NAME@ to input)).use { answers ->
@ROWS@
            }
        }
    }

@FINDER@    private fun tensor(pixels: ByteArray): OnnxTensor {
@TENSOR@
    }

    private fun pixelsOf(photo: Bitmap): ByteArray {
        val side = minOf(photo.width, photo.height)
        val (left, top) = Pair((photo.width - side) / 2, (photo.height - side) / 2)
        var square = Bitmap.createBitmap(photo, left, top, side, side)
        while (square.width >= 2 * WIDTH) {
            square = Bitmap.createScaledBitmap(square, square.width / 2, square.height / 2, true)
        }
        val colours = IntArray(WIDTH * HEIGHT)
        val small = Bitmap.createScaledBitmap(square, WIDTH, HEIGHT, true)
        small.getPixels(colours, 0, WIDTH, 0, 0, WIDTH, HEIGHT)
        val pixels = ByteArray(colours.size * CHANNELS)
        for ((i, colour) in colours.withIndex()) {
            val red = colour shr 16 and 0xff
            val green = colour shr 8 and 0xff
            val blue = colour and 0xff
@COLOURS@
        }
        return pixels
    }

    override fun close() = session.close()

    companion object {
        const val BATCH = @BATCH@
        const val HEIGHT = @HEIGHT@
        const val WIDTH = @WIDTH@
        const val CHANNELS = @CHANNELS@
        const val TOLERANCE = @TOLERANCE@
        val CLASSES = arrayOf(@CLASSES@)
        val EXPECTED = floatArrayOf(@EXPECTED@)
        private val SHAPE = longArrayOf(@SHAPE@)
@CONSTANTS@
    }
}
"""

_PIXELS = """        val size = BATCH * pixels.size
        val buffer = ByteBuffer.allocateDirect(size).order(ByteOrder.nativeOrder())
        repeat(BATCH) {
@ORDER@
        }
        buffer.rewind()
        return OnnxTensor.createTensor(environment, buffer, SHAPE, OnnxJavaType.UINT8)"""

_FLOATS = """        val buffer = FloatBuffer.allocate(BATCH * pixels.size)
        repeat(BATCH) {
            for (c in 0 until CHANNELS) {
                for (i in 0 until HEIGHT * WIDTH) {
                    val pixel = pixels[i * CHANNELS + c].toInt() and 0xff
                    buffer.put((pixel / 255f - MEAN[c]) / STD[c])
                }
            }
        }
        buffer.rewind()
        return OnnxTensor.createTensor(environment, buffer, SHAPE)"""

_CHANNELS_FIRST = """            for (c in 0 until CHANNELS) {
                for (i in 0 until HEIGHT * WIDTH) {
                    buffer.put(pixels[i * CHANNELS + c])
                }
            }"""

_GREY = """            // The weights of ITU-R 601, as Pillow converts to grey.
            pixels[i] = ((299 * red + 587 * green + 114 * blue) / 1000).toByte()"""
_RGB = """            pixels[3 * i] = red.toByte()
            pixels[3 * i + 1] = green.toByte()
            pixels[3 * i + 2] = blue.toByte()"""


READ = {
    "top": ("String", "CLASSES[scores.indices.maxByOrNull { scores[it] }!!]"),
    "above": ("List<String>", "CLASSES.filterIndexed { i, _ -> scores[i] > THRESHOLD }"),
    "values": ("Map<String, Float>", "CLASSES.zip(scores.toList()).toMap()"),
    "boxes": ("List<Found>", "boxes(scores)"),
    "mask": (
        "IntArray",
        "IntArray(HEIGHT * WIDTH) { i -> CLASSES.indices.maxByOrNull { scores[it * HEIGHT * WIDTH + i] }!! }",
    ),
}
"""The type of what is read, and how it is read."""


_ROWS = """                val rows = answers.get(@OUTPUT_NAME@).get().value as Array<*>
                return rows[0] as FloatArray"""
_BUFFER = """                val buffer = (answers.get(@OUTPUT_NAME@).get() as OnnxTensor).floatBuffer
                return FloatArray(@SIZE@).also { buffer.get(it) }"""


def snippet(facts: AppFacts) -> str:
    """The class."""
    import onnxruntime

    order = "            buffer.put(pixels)" if facts.channels_last else _CHANNELS_FIRST
    constants = [
        f"        private val {name} = floatArrayOf({numbers(values, 'f')})"
        for name, values in (("MEAN", facts.mean), ("STD", facts.std))
    ]
    values = {
        **facts.words,
        "FILE": facts.file,
        "FILE_TEXT": kotlin_text(facts.file),
        "ORT": onnxruntime.__version__,
        "CROP": CROP,
        "OUTPUT": facts.outputs,
        "EACH": facts.each,
        "Answer": facts.readable.answer.capitalize(),
        "KIND": READ[facts.readable.reading][0],
        "READ": READ[facts.readable.reading][1].replace("THRESHOLD", numbers([facts.threshold], "f")),
        "FINDER": boxes.finder(boxes.KOTLIN, facts),
        "IMPORT": "import kotlin.math.exp\n" if facts.readable.reading == "boxes" else "",
        "INPUT_NAME": kotlin_text(facts.input_name),
        "OUTPUT_NAME": kotlin_text(facts.output_name),
        "STEP": facts.step,
        "ROWS": filled(
            _BUFFER if facts.readable.reading in ("mask", "boxes") else _ROWS,
            {"OUTPUT_NAME": kotlin_text(facts.output_name), "SIZE": str(facts.n_outputs)},
        ),
        "TENSOR": filled(_PIXELS, {"ORDER": order}) if facts.pixels else _FLOATS,
        "COLOURS": _GREY if facts.channels == 1 else _RGB,
        "BATCH": str(facts.batch),
        "HEIGHT": str(facts.height),
        "WIDTH": str(facts.width),
        "CHANNELS": str(facts.channels),
        "TOLERANCE": numbers([facts.tolerance], "f"),
        "CLASSES": ", ".join(map(kotlin_text, facts.class_names)),
        "EXPECTED": numbers(facts.expected, "f"),
        "SHAPE": ", ".join(map(str, facts.shape)),
        "CONSTANTS": "" if facts.pixels else "\n".join(constants),
    }
    return filled(_TEMPLATE, values)


def kotlin_text(text: str) -> str:
    """A text between quotes; `$` begins a template in Kotlin."""
    return quoted(text).replace("$", "\\$")
