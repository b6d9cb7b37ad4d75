plugins {
    id("com.android.application") version "8.7.0"
    id("org.jetbrains.kotlin.android") version "2.0.21"
}

android {
    namespace = "org.example.classify"
    compileSdk = 35
    defaultConfig {
        applicationId = "org.example.classify"
        minSdk = 24
        targetSdk = 35
        versionCode = 1
        versionName = "1"
    }
    androidResources { noCompress += listOf("onnx", "ort") }
    compileOptions {
        sourceCompatibility = JavaVersion.VERSION_17
        targetCompatibility = JavaVersion.VERSION_17
    }
    kotlinOptions { jvmTarget = "17" }
}

dependencies {
    // Take the version that stands at the top of Classifier.kt.
    implementation("com.microsoft.onnxruntime:onnxruntime-android:1.24.1")
    implementation("androidx.activity:activity-ktx:1.9.3")
}
