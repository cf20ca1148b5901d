//go:build !noxla

#include "table.h"
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { SLOTS = 8 };
void* stuffedCompile(int slot, void* args); // in Go

static const table* plugins[SLOTS];

#define SLOT(i) static void* compile##i(void* a) { return stuffedCompile(i, a); }
SLOT(0) SLOT(1) SLOT(2) SLOT(3) SLOT(4) SLOT(5) SLOT(6) SLOT(7)
static function* const compilers[SLOTS] = {compile0, compile1, compile2, compile3, compile4, compile5, compile6, compile7};

table* stuffed_interpose(const char* path, int slot, char* why, size_t n) {
	if (slot >= SLOTS) { snprintf(why, n, "more than %d plug-ins in one process", SLOTS); return NULL; }
	void* so = dlopen(path, RTLD_LAZY | RTLD_LOCAL);
	if (!so) { snprintf(why, n, "%s", dlerror()); return NULL; }
	const table* (*entry)(void) = (const table* (*)(void))dlsym(so, "GetPjrtApi");
	const table* api = entry ? entry() : NULL;
	if (!api) { snprintf(why, n, "no GetPjrtApi"); return NULL; }
	if (api->version.major != 0 || api->struct_size < offsetof(table, functions) + (EXECUTABLE_DESERIALIZE_AND_LOAD + 1) * sizeof(function*)) {
		snprintf(why, n, "PJRT %d.%d has no loading of compiled programs", api->version.major, api->version.minor);
		return NULL;
	}
	table* copy = malloc(api->struct_size);
	if (!copy) { snprintf(why, n, "no memory"); return NULL; }
	memcpy(copy, api, api->struct_size);
	copy->functions[CLIENT_COMPILE] = compilers[slot];
	plugins[slot] = api;
	return copy;
}

static void* call(int slot, int which, void* args) {
	function* f = plugins[slot]->functions[which];
	return f(args);
}

// failed frees an error and writes its message.
static int failed(int slot, void* error, char* why, size_t n) {
	if (!error) return 0;
	struct { size_t struct_size; void* ext; void* error; const char* message; size_t size; } m = {sizeof m, 0, error, "", 0};
	call(slot, ERROR_MESSAGE, &m);
	snprintf(why, n, "%.*s", (int)m.size, m.message);
	struct { size_t struct_size; void* ext; void* error; } d = {sizeof d, 0, error};
	call(slot, ERROR_DESTROY, &d);
	return 1;
}

void* stuffed_compiled(int slot, compile_args* a) { return call(slot, CLIENT_COMPILE, a); }

int stuffed_load(int slot, compile_args* a, const char* bytes, size_t size, char* why, size_t n) {
	struct {
		size_t struct_size; void *ext, *client; const char* bytes; size_t size; void* executable; const char* options; size_t options_size;
	} d = {sizeof d, 0, a->client, bytes, size, 0, 0, 0};
	if (!plugins[slot]->functions[EXECUTABLE_DESERIALIZE_AND_LOAD]) { snprintf(why, n, "the plug-in cannot load compiled programs"); return 1; }
	if (failed(slot, call(slot, EXECUTABLE_DESERIALIZE_AND_LOAD, &d), why, n)) return 1;
	a->executable = d.executable;
	return 0;
}

char* stuffed_serialized(int slot, void* executable, size_t* size, char* why, size_t n) {
	if (!plugins[slot]->functions[EXECUTABLE_SERIALIZE] || !plugins[slot]->functions[LOADED_EXECUTABLE_GET_EXECUTABLE]) {
		snprintf(why, n, "the plug-in cannot write compiled programs");
		return NULL;
	}
	struct { size_t struct_size; void *ext, *loaded, *executable; } g = {sizeof g, 0, executable, 0};
	if (failed(slot, call(slot, LOADED_EXECUTABLE_GET_EXECUTABLE, &g), why, n)) return NULL;
	struct {
		size_t struct_size; void *ext, *executable; const char* bytes; size_t size; void* backing; void (*drop)(void*);
	} s = {sizeof s, 0, g.executable, 0, 0, 0, 0};
	char* out = NULL;
	if (!failed(slot, call(slot, EXECUTABLE_SERIALIZE, &s), why, n)) {
		if ((out = malloc(s.size ? s.size : 1))) memcpy(out, s.bytes, *size = s.size);
		else snprintf(why, n, "no memory");
		if (s.drop) s.drop(s.backing);
	}
	struct { size_t struct_size; void *ext, *executable; } d = {sizeof d, 0, g.executable};
	char ignored[1];
	failed(slot, call(slot, EXECUTABLE_DESTROY, &d), ignored, sizeof ignored);
	return out;
}

void stuffed_describe(int slot, void* client, char* text, size_t n) {
	char ignored[1];
	struct { size_t struct_size; void *ext, *client; const char* version; size_t size; } v = {sizeof v, 0, client, "", 0};
	if (failed(slot, call(slot, CLIENT_PLATFORM_VERSION, &v), ignored, sizeof ignored)) v.size = 0;
	struct { size_t struct_size; void *ext, *client, **devices; size_t count; } l = {sizeof l, 0, client, 0, 0};
	struct { size_t struct_size; void *ext, *description; const char* kind; size_t size; } k = {sizeof k, 0, 0, "", 0};
	if (!failed(slot, call(slot, CLIENT_ADDRESSABLE_DEVICES, &l), ignored, sizeof ignored) && l.count > 0) {
		struct { size_t struct_size; void *ext, *device, *description; } g = {sizeof g, 0, l.devices[0], 0};
		if (!failed(slot, call(slot, DEVICE_GET_DESCRIPTION, &g), ignored, sizeof ignored)) {
			k.description = g.description;
			if (failed(slot, call(slot, DEVICE_DESCRIPTION_KIND, &k), ignored, sizeof ignored)) k.size = 0;
		}
	}
	snprintf(text, n, "%.*s\n%.*s\n%zu devices", (int)k.size, k.kind, (int)v.size, v.version, l.count);
}
