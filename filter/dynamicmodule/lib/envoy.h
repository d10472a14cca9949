// The part of Envoy's dynamic module ABI (v0.1.0, Envoy 1.38 and later) that
// this module uses. Layouts and names are Envoy's; header_test.go of test/abihost
// compiles this header together with Envoy's own and fails where they differ.
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define CALLBACK(name) envoy_dynamic_module_callback_##name
#define ON(name) envoy_dynamic_module_on_##name

// Enumerations travel as int: C gives enums without negative values type
// unsigned int, of the same size and passing convention.
typedef unsigned int envoy_enum;

typedef struct {
  const char* ptr;
  size_t length;
} envoy_bytes;

typedef struct {
  const char* key;
  size_t key_length;
  const char* value;
  size_t value_length;
} envoy_header;

enum { REQUEST_HEADERS = 0, RESPONSE_HEADERS = 2 };
enum { RECEIVED_REQUEST = 0, BUFFERED_REQUEST = 1, RECEIVED_RESPONSE = 2, BUFFERED_RESPONSE = 3 };
enum { HEADERS_CONTINUE = 0, HEADERS_STOP = 1 };
enum { BODY_CONTINUE = 0, BODY_STOP_AND_BUFFER = 1, BODY_STOP_NO_BUFFER = 3 };
enum { TRAILERS_CONTINUE = 0, TRAILERS_STOP = 1 };
enum { LOG_DEBUG = 1, LOG_WARN = 3, LOG_ERROR = 4 };
enum { CALLOUT_SUCCESS = 0 };
enum { METADATA_DYNAMIC = 0 };

void CALLBACK(log)(envoy_enum level, envoy_bytes message);
bool CALLBACK(log_enabled)(envoy_enum level);
uint32_t CALLBACK(get_concurrency)(void);

bool CALLBACK(http_get_header)(void* filter, envoy_enum which, envoy_bytes key, envoy_bytes* out,
                               size_t index, size_t* count);
size_t CALLBACK(http_get_headers_size)(void* filter, envoy_enum which);
bool CALLBACK(http_get_headers)(void* filter, envoy_enum which, envoy_header* out);
bool CALLBACK(http_set_header)(void* filter, envoy_enum which, envoy_bytes key, envoy_bytes value);

size_t CALLBACK(http_get_body_size)(void* filter, envoy_enum which);
size_t CALLBACK(http_get_body_chunks_size)(void* filter, envoy_enum which);
bool CALLBACK(http_get_body_chunks)(void* filter, envoy_enum which, envoy_bytes* out);
bool CALLBACK(http_append_body)(void* filter, envoy_enum which, envoy_bytes data);
bool CALLBACK(http_drain_body)(void* filter, envoy_enum which, size_t count);
bool CALLBACK(http_received_buffered_request_body)(void* filter);
bool CALLBACK(http_received_buffered_response_body)(void* filter);

void CALLBACK(http_send_response)(void* filter, uint32_t status, envoy_header* headers,
                                  size_t count, envoy_bytes body, envoy_bytes details);
void CALLBACK(http_clear_route_cache)(void* filter);
void CALLBACK(http_filter_continue_decoding)(void* filter);
uint64_t CALLBACK(http_get_buffer_limit)(void* filter);
void CALLBACK(http_set_buffer_limit)(void* filter, uint64_t limit);
void CALLBACK(http_set_dynamic_metadata_string)(void* filter, envoy_bytes space, envoy_bytes key,
                                                envoy_bytes value);
bool CALLBACK(http_get_metadata_string)(void* filter, envoy_enum source, envoy_bytes space,
                                        envoy_bytes key, envoy_bytes* out);

envoy_enum CALLBACK(http_filter_http_callout)(void* filter, uint64_t* id, envoy_bytes cluster,
                                              envoy_header* headers, size_t count,
                                              envoy_bytes body, uint64_t timeout_ms);
envoy_enum CALLBACK(http_filter_config_http_callout)(void* config, uint64_t* id,
                                                     envoy_bytes cluster, envoy_header* headers,
                                                     size_t count, envoy_bytes body,
                                                     uint64_t timeout_ms);
void* CALLBACK(http_filter_config_scheduler_new)(void* config);
void CALLBACK(http_filter_config_scheduler_delete)(void* scheduler);
void CALLBACK(http_filter_config_scheduler_commit)(void* scheduler, uint64_t event);

envoy_enum CALLBACK(http_filter_config_define_counter)(void* config, envoy_bytes name,
                                                       envoy_bytes* labels, size_t count,
                                                       size_t* id);
envoy_enum CALLBACK(http_filter_increment_counter)(void* filter, size_t id, envoy_bytes* values,
                                                   size_t count, uint64_t by);
envoy_enum CALLBACK(http_filter_config_define_gauge)(void* config, envoy_bytes name,
                                                     envoy_bytes* labels, size_t count,
                                                     size_t* id);
envoy_enum CALLBACK(http_filter_set_gauge)(void* filter, size_t id, envoy_bytes* values,
                                           size_t count, uint64_t value);
envoy_enum CALLBACK(http_filter_increment_gauge)(void* filter, size_t id, envoy_bytes* values,
                                                 size_t count, uint64_t by);
envoy_enum CALLBACK(http_filter_decrement_gauge)(void* filter, size_t id, envoy_bytes* values,
                                                 size_t count, uint64_t by);
