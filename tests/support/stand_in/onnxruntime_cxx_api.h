// Of onnxruntime's C++ interface what the exported programs call, with the signatures of its
// include/onnxruntime/core/session/onnxruntime_cxx_api.h. It runs no network: the answer is read from the model file,
// as float32. So programs are compiled, and what they make of an answer is seen, where no package brings the header.
#pragma once
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <string>
#include <vector>

enum OrtLoggingLevel { ORT_LOGGING_LEVEL_VERBOSE, ORT_LOGGING_LEVEL_INFO, ORT_LOGGING_LEVEL_WARNING };
enum OrtAllocatorType { OrtInvalidAllocator = -1, OrtDeviceAllocator = 0, OrtArenaAllocator = 1 };
enum OrtMemType { OrtMemTypeCPUInput = -2, OrtMemTypeCPUOutput = -1, OrtMemTypeDefault = 0 };
struct OrtMemoryInfo {};

namespace Ort {

struct Env {
  explicit Env(std::nullptr_t) {}
  Env(OrtLoggingLevel, const char*) {}
};

struct SessionOptions {
  SessionOptions() {}
};

struct RunOptions {
  explicit RunOptions(std::nullptr_t) {}
  RunOptions() {}
};

struct MemoryInfo {
  static MemoryInfo CreateCpu(OrtAllocatorType, OrtMemType) { return MemoryInfo(); }
  operator const OrtMemoryInfo*() const { return &info; }

 private:
  MemoryInfo() {}
  OrtMemoryInfo info;
};

struct Value {
  template <typename T>
  static Value CreateTensor(const OrtMemoryInfo*, T*, size_t, const int64_t*, size_t) {
    return Value({});
  }
  template <typename T>
  const T* GetTensorData() const {
    return answer.data();
  }
  Value(const Value&) = delete;
  Value(Value&&) = default;

 private:
  friend struct Session;
  explicit Value(std::vector<float> values) : answer(std::move(values)) {}
  std::vector<float> answer;
};

struct Session {
  Session(const Env&, const char* model_path, const SessionOptions&) : path(model_path) {}
  std::vector<Value> Run(const RunOptions&, const char* const*, const Value*, size_t, const char* const*, size_t) {
    std::vector<float> values;
    float value;
    std::FILE* file = std::fopen(path.c_str(), "rb");
    while (file && std::fread(&value, sizeof value, 1, file) == 1) values.push_back(value);
    if (file) std::fclose(file);
    std::vector<Value> answers;
    answers.push_back(Value(std::move(values)));
    return answers;
  }

 private:
  std::string path;
};

}  // namespace Ort
