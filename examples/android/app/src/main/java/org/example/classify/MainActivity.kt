package org.example.classify

import android.graphics.ImageDecoder
import android.graphics.Bitmap
import android.os.Build
import android.os.Bundle
import android.provider.MediaStore
import android.widget.Button
import android.widget.LinearLayout
import android.widget.TextView
import androidx.activity.ComponentActivity
import androidx.activity.result.contract.ActivityResultContracts
import kotlin.concurrent.thread

/** The file in assets/ that the export recommends. */
private const val MODEL = "model.ort"

class MainActivity : ComponentActivity() {
    private lateinit var answer: TextView
    private lateinit var classifier: Classifier

    private val choose = registerForActivityResult(ActivityResultContracts.GetContent()) { uri ->
        if (uri == null) return@registerForActivityResult
        thread {
            val photo = if (Build.VERSION.SDK_INT >= Build.VERSION_CODES.P) {
                // Software bitmaps can be read pixel by pixel; decoding also turns the photo upright.
                ImageDecoder.decodeBitmap(ImageDecoder.createSource(contentResolver, uri)) { decoder, _, _ ->
                    decoder.allocator = ImageDecoder.ALLOCATOR_SOFTWARE
                }
            } else {
                @Suppress("DEPRECATION")
                MediaStore.Images.Media.getBitmap(contentResolver, uri)
            }
            val (name, scores) = classifier.classify(photo.copy(Bitmap.Config.ARGB_8888, false))
            runOnUiThread { answer.text = "$name (${scores.max()})" }
        }
    }

    override fun onCreate(state: Bundle?) {
        super.onCreate(state)
        answer = TextView(this)
        val button = Button(this).apply {
            text = "Choose a photo"
            setOnClickListener { choose.launch("image/*") }
        }
        setContentView(LinearLayout(this).apply {
            orientation = LinearLayout.VERTICAL
            addView(button)
            addView(answer)
        })
        classifier = Classifier(assets.open(MODEL).readBytes())
        val good = classifier.answersAsGolden(assets.open("golden/input.raw").readBytes())
        answer.text = if (good) "ready" else "this device does not answer as the golden pair says"
    }

    override fun onDestroy() {
        classifier.close()
        super.onDestroy()
    }
}
