// What this package needs of PJRT's C interface, major version 0, which only grows at its ends. A test compares the places of the
// functions and the fields of the arguments with the header of the pinned go-xla.
#pragma once

#include <stddef.h>

enum {
	ERROR_DESTROY = 0,
	ERROR_MESSAGE = 1,
	CLIENT_PLATFORM_VERSION = 14,
	CLIENT_ADDRESSABLE_DEVICES = 16,
	CLIENT_COMPILE = 20,
	DEVICE_DESCRIPTION_KIND = 26,
	DEVICE_GET_DESCRIPTION = 29,
	EXECUTABLE_DESTROY = 40,
	EXECUTABLE_SERIALIZE = 49,
	LOADED_EXECUTABLE_GET_EXECUTABLE = 51,
	EXECUTABLE_DESERIALIZE_AND_LOAD = 56,
};

typedef void* function(void* args);

typedef struct {
	size_t struct_size;
	void* extension_start;
	struct { size_t struct_size; void* extension_start; int major, minor; } version;
	function* functions[];
} table;

typedef struct {
	size_t struct_size;
	void* extension_start;
	const char* code;
	size_t code_size;
	const char* format;
	size_t format_size;
} program;

typedef struct {
	size_t struct_size;
	void* extension_start;
	void* client;
	const program* program;
	const char* compile_options;
	size_t compile_options_size;
	void* executable; // out
} compile_args;

// stuffed_interpose returns a copy of the plug-in's table whose compile function is slot's; NULL and a reason when it cannot.
table* stuffed_interpose(const char* path, int slot, char* why, size_t n);
// stuffed_compiled calls the plug-in's own compile function.
void* stuffed_compiled(int slot, compile_args* a);
// stuffed_load makes an executable of bytes: 0, or 1 and a reason.
int stuffed_load(int slot, compile_args* a, const char* bytes, size_t size, char* why, size_t n);
// stuffed_serialized is the executable as malloc'd bytes; NULL and a reason when it cannot.
char* stuffed_serialized(int slot, void* executable, size_t* size, char* why, size_t n);
// stuffed_describe writes the platform's version and the kind and number of devices.
void stuffed_describe(int slot, void* client, char* text, size_t n);
