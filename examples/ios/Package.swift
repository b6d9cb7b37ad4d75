// swift-tools-version:5.9
import PackageDescription

let package = Package(
    name: "Classify",
    platforms: [.iOS(.v15), .macOS(.v12)],
    products: [.library(name: "Classify", targets: ["Classify"])],
    dependencies: [
        .package(url: "https://github.com/microsoft/onnxruntime-swift-package-manager", from: "1.20.0")
    ],
    targets: [
        .target(
            name: "Classify",
            dependencies: [.product(name: "onnxruntime", package: "onnxruntime-swift-package-manager")],
            resources: [.copy("Resources")]
        )
    ]
)
