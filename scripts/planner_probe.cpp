// Print the bytes that llama.cpp itself plans for GGUF headers that carry metadata only.
//
// The truth in tests/data/planned was made with this against llama.cpp b10488; run it again
// when the version that Ollama ships moves. Nothing is allocated: llama.cpp simulates.
//
//   cmake -B build -DGGML_RPC=ON -DBUILD_SHARED_LIBS=ON LLAMA_CPP && cmake --build build
//   c++ -std=c++17 -ILLAMA_CPP -ILLAMA_CPP/include -ILLAMA_CPP/ggml/include planner_probe.cpp
//       -o planner_probe -Lbuild/bin -lllama -lggml -lggml-base -lggml-cpu -lggml-rpc
//   ./planner_probe serve 127.0.0.1:50655 &      (a stand-in for a GPU)
//   echo "HEADER gpu|cpu NUM_CTX NUM_PARALLEL NUM_BATCH FLASH CACHE_TYPE" | ./planner_probe 127.0.0.1:50655
//
// Each line of input gives one JSON object; pairs of figures are host and GPU.

#include "ggml-backend.h"
#include "ggml-rpc.h"
#include "ggml.h"
#include "gguf.h"
#include "llama.h"
#include "src/llama-ext.h"

#include <cstdio>
#include <iostream>
#include <sstream>
#include <string>

static void no_data(ggml_tensor *, void *) {}

static void only_errors(ggml_log_level level, const char * text, void *) {
    if (level >= GGML_LOG_LEVEL_ERROR) {
        fputs(text, stderr);
    }
}

static int serve(const char * endpoint) {
    ggml_backend_dev_t device = ggml_backend_dev_by_type(GGML_BACKEND_DEVICE_TYPE_CPU);
    ggml_backend_rpc_start_server(endpoint, nullptr, 1, 1, &device);
    return 0;
}

static llama_model * load(const std::string & header, ggml_backend_dev_t gpu) {
    ggml_context * tensors = nullptr;
    gguf_context * metadata = gguf_init_from_file(header.c_str(), { true, &tensors });
    if (!metadata) {
        return nullptr;
    }
    static ggml_backend_dev_t devices[2];
    devices[0] = gpu;
    devices[1] = nullptr;
    llama_model_params params = llama_model_default_params();
    params.no_alloc = true;
    params.devices = devices;
    params.n_gpu_layers = gpu ? 9999 : 0;
    llama_model * model = llama_model_init_from_user(metadata, no_data, nullptr, params);
    gguf_free(metadata);
    return model;
}

static llama_context_params context_params(int num_ctx, int parallel, int batch, int flash,
                                           const std::string & cache_type) {
    llama_context_params params = llama_context_default_params();
    params.n_ctx = num_ctx * parallel;
    params.n_seq_max = parallel;
    params.n_batch = batch;
    params.n_ubatch = batch;
    params.n_outputs_max = parallel;  // as llama-server: the last row of each sequence
    params.kv_unified = false;
    params.swa_full = false;
    params.flash_attn_type = flash ? LLAMA_FLASH_ATTN_TYPE_ENABLED : LLAMA_FLASH_ATTN_TYPE_DISABLED;
    params.type_k = cache_type == "q8_0" ? GGML_TYPE_Q8_0 : GGML_TYPE_F16;
    params.type_v = params.type_k;
    return params;
}

int main(int argc, char ** argv) {
    llama_log_set(only_errors, nullptr);
    llama_backend_init();
    if (argc > 2 && std::string(argv[1]) == "serve") {
        return serve(argv[2]);
    }
    ggml_backend_dev_t gpu = nullptr;
    if (argc > 1) {
        gpu = ggml_backend_reg_dev_get(ggml_backend_rpc_add_server(argv[1]), 0);
    }
    std::string line;
    while (std::getline(std::cin, line)) {
        std::istringstream words(line);
        std::string header, device, cache_type;
        int num_ctx, parallel, batch, flash;
        words >> header >> device >> num_ctx >> parallel >> batch >> flash >> cache_type;
        llama_model * model = load(header, device == "gpu" ? gpu : nullptr);
        llama_context * context = model
            ? llama_init_from_model(model, context_params(num_ctx, parallel, batch, flash, cache_type))
            : nullptr;
        if (!context) {
            printf("{\"header\":\"%s\",\"error\":\"refused\"}\n", header.c_str());
        } else {
            size_t weights[2] = { 0, 0 }, cache[2] = { 0, 0 }, compute[2] = { 0, 0 };
            for (const auto & [buffer_type, bytes] : llama_get_memory_breakdown(context)) {
                const int side = ggml_backend_buft_is_host(buffer_type) ? 0 : 1;
                weights[side] += bytes.model;
                cache[side] += bytes.context;
                compute[side] += bytes.compute;
            }
            printf("{\"header\":\"%s\",\"device\":\"%s\",\"num_ctx\":%d,\"num_parallel\":%d,"
                   "\"num_batch\":%d,\"flash_attention\":%d,\"kv_cache_type\":\"%s\","
                   "\"weights\":[%zu,%zu],\"cache\":[%zu,%zu],\"compute\":[%zu,%zu]}\n",
                   header.c_str(), device.c_str(), num_ctx, parallel, batch, flash,
                   cache_type.c_str(), weights[0], weights[1], cache[0], cache[1], compute[0],
                   compute[1]);
            llama_free(context);
        }
        if (model) {
            llama_model_free(model);
        }
        fflush(stdout);
    }
}
