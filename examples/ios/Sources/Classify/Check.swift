import Foundation

/// Whether this device answers as the golden pair says; file: the name of the model in Resources/.
public func answersAsGolden(file: String) throws -> Bool {
    let folder = Bundle.module.resourceURL!.appendingPathComponent("Resources")
    let classifier = try Classifier(model: folder.appendingPathComponent(file).path)
    return try classifier.answersAsGolden(raw: Data(contentsOf: folder.appendingPathComponent("input.raw")))
}
