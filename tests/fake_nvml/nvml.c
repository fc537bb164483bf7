/* A stand-in for libnvidia-ml.so.1 that says what a text file tells it to, read anew at every nvmlInit.
 *
 * The file that $FAKE_NVML names has lines "WHO QUESTION ANSWER": WHO is the index of a GPU, or - for the system;
 * QUESTION the function as pynvml names it, with /ARGUMENT where it has one, or field/ID (of a link other than 0:
 * field/ID/LINK). An ANSWER that begins
 * with ! is a return code; the answer "hang" never comes, whatever signal but KILL is sent. What the file does not
 * name is not supported.
 *
 *     - nvmlDeviceGetCount 1
 *     0 nvmlDeviceGetPciInfo_v3 00000000:1B:00.0
 *     0 nvmlDeviceGetTemperatureThreshold/1 89
 *     0 field/82 1 57                                         (type of the value, value)
 *     0 nvmlDeviceGetMarginTemperature !15
 *     0 nvmlDeviceGetComputeRunningProcesses_v3 4123:1048576 4124:-
 */
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { SUCCESS, UNINITIALIZED, INVALID_ARGUMENT, NOT_SUPPORTED, NOT_FOUND = 6, INSUFFICIENT_SIZE, MAX_LINES = 16384 };
typedef void *device;
static char *lines[MAX_LINES];
static int count;

static void load(void) {
    const char *path = getenv("FAKE_NVML");
    FILE *file = path ? fopen(path, "r") : NULL;
    char line[1024];
    while (count) free(lines[--count]);
    while (file && count < MAX_LINES && fgets(line, sizeof line, file)) {
        line[strcspn(line, "\n")] = 0;
        lines[count++] = strdup(line);
    }
    if (file) fclose(file);
}

/* The answer, or NULL and the code. */
static const char *answer(device gpu, const char *question, int *code) {
    char start[160];
    if (gpu) snprintf(start, sizeof start, "%ld %s ", (long)(intptr_t)gpu - 1, question);
    else snprintf(start, sizeof start, "- %s ", question);
    *code = NOT_SUPPORTED;
    for (int i = 0; i < count; i++) {
        if (strncmp(lines[i], start, strlen(start))) continue;
        const char *said = lines[i] + strlen(start);
        if (!strcmp(said, "hang")) {
            sigset_t all;
            sigfillset(&all);
            sigprocmask(SIG_BLOCK, &all, NULL);
            for (;;) pause();
        }
        *code = *said == '!' ? atoi(said + 1) : SUCCESS;
        return *code ? NULL : said;
    }
    return NULL;
}

static int text(device gpu, const char *question, char *out, unsigned size) {
    int code;
    const char *said = answer(gpu, question, &code);
    if (said) snprintf(out, size, "%s", said);
    return code;
}

static int number(device gpu, const char *question, unsigned *out) {
    int code;
    const char *said = answer(gpu, question, &code);
    if (said) *out = (unsigned)strtoll(said, NULL, 10);
    return code;
}

static int big(device gpu, const char *question, unsigned long long *out) {
    int code;
    const char *said = answer(gpu, question, &code);
    if (said) *out = strtoull(said, NULL, 10);
    return code;
}

static int two(device gpu, const char *question, const char *form, void *one, void *other) {
    int code;
    const char *said = answer(gpu, question, &code);
    if (said && sscanf(said, form, one, other) != 2) code = INVALID_ARGUMENT;
    return code;
}

static int with(device gpu, const char *question, int argument, unsigned *out) {
    char full[128];
    snprintf(full, sizeof full, "%s/%d", question, argument);
    return number(gpu, full, out);
}

int nvmlInitWithFlags(unsigned flags) {
    int code;
    load();
    answer(NULL, flags ? "nvmlInitWithFlags" : "nvmlInit", &code);
    return code == NOT_SUPPORTED ? SUCCESS : code;
}
int nvmlShutdown(void) { return SUCCESS; }
const char *nvmlErrorString(int code) { return code ? "an error of the fake" : "success"; }
int nvmlSystemGetDriverVersion(char *out, unsigned size) { return text(NULL, "nvmlSystemGetDriverVersion", out, size); }
int nvmlSystemGetNVMLVersion(char *out, unsigned size) { return text(NULL, "nvmlSystemGetNVMLVersion", out, size); }
int nvmlSystemGetCudaDriverVersion_v2(int *out) {
    return number(NULL, "nvmlSystemGetCudaDriverVersion_v2", (unsigned *)out);
}
int nvmlDeviceGetCount_v2(unsigned *out) { return number(NULL, "nvmlDeviceGetCount", out); }
int nvmlDeviceGetHandleByIndex_v2(unsigned index, device *out) {
    int code;
    *out = (device)(intptr_t)(index + 1);
    answer(*out, "nvmlDeviceGetHandleByIndex", &code);
    return code == NOT_SUPPORTED ? SUCCESS : code;
}

struct pci { char legacy[16]; unsigned domain, bus, device, device_id, subsystem_id; char bus_id[32]; };
int nvmlDeviceGetPciInfo_v3(device gpu, struct pci *out) {
    memset(out, 0, sizeof *out);
    return text(gpu, "nvmlDeviceGetPciInfo_v3", out->bus_id, sizeof out->bus_id);
}

#define TEXT(name) int name(device gpu, char *out, unsigned size) { return text(gpu, #name, out, size); }
#define NUMBER(name) int name(device gpu, unsigned *out) { return number(gpu, #name, out); }
#define BIG(name) int name(device gpu, unsigned long long *out) { return big(gpu, #name, out); }
#define WITH(name) int name(device gpu, int argument, unsigned *out) { return with(gpu, #name, argument, out); }
TEXT(nvmlDeviceGetBoardPartNumber) TEXT(nvmlDeviceGetUUID) TEXT(nvmlDeviceGetSerial) TEXT(nvmlDeviceGetVbiosVersion)
NUMBER(nvmlDeviceGetArchitecture) NUMBER(nvmlDeviceGetPowerManagementDefaultLimit) NUMBER(nvmlDeviceGetPowerUsage)
NUMBER(nvmlDeviceGetEnforcedPowerLimit) NUMBER(nvmlDeviceGetPerformanceState) NUMBER(nvmlDeviceGetPersistenceMode)
NUMBER(nvmlDeviceGetCurrPcieLinkGeneration) NUMBER(nvmlDeviceGetCurrPcieLinkWidth)
NUMBER(nvmlDeviceGetMaxPcieLinkGeneration) NUMBER(nvmlDeviceGetMaxPcieLinkWidth)
BIG(nvmlDeviceGetVirtualizationMode)
BIG(nvmlDeviceGetSupportedClocksEventReasons) BIG(nvmlDeviceGetSupportedClocksThrottleReasons)
BIG(nvmlDeviceGetCurrentClocksEventReasons) BIG(nvmlDeviceGetCurrentClocksThrottleReasons)
WITH(nvmlDeviceGetMaxClockInfo) WITH(nvmlDeviceGetClockInfo) WITH(nvmlDeviceGetTemperatureThreshold)
WITH(nvmlDeviceGetTemperature) WITH(nvmlDeviceGetApplicationsClock) WITH(nvmlDeviceGetDefaultApplicationsClock)
WITH(nvmlDeviceGetNvLinkState) WITH(nvmlDeviceGetNvLinkVersion) WITH(nvmlDeviceGetNvLinkRemoteDeviceType)

int nvmlDeviceGetNvLinkErrorCounter(device gpu, unsigned link, int counter, unsigned long long *out) {
    char question[64];
    snprintf(question, sizeof question, "nvmlDeviceGetNvLinkErrorCounter/%u/%d", link, counter);
    return big(gpu, question, out);
}
/* A MIG device is its GPU's handle with its place, from 1, in the upper half: its name is nvmlDeviceGetName/PLACE. */
int nvmlDeviceGetName(device gpu, char *out, unsigned size) {
    char question[40];
    long place = (long)(intptr_t)gpu >> 16;
    if (!place) return text(gpu, "nvmlDeviceGetName", out, size);
    snprintf(question, sizeof question, "nvmlDeviceGetName/%ld", place - 1);
    return text((device)((intptr_t)gpu & 0xffff), question, out, size);
}
int nvmlDeviceGetMigDeviceHandleByIndex(device gpu, unsigned index, device *out) {
    char question[40], name[96];
    snprintf(question, sizeof question, "nvmlDeviceGetName/%u", index);
    *out = (device)((intptr_t)gpu | (intptr_t)(index + 1) << 16);
    return text(gpu, question, name, sizeof name) == SUCCESS ? SUCCESS : NOT_FOUND;
}
int nvmlDeviceGetMemoryErrorCounter(device gpu, int kind, int counter, int location, unsigned long long *out) {
    char question[64];
    snprintf(question, sizeof question, "nvmlDeviceGetMemoryErrorCounter/%d/%d/%d", kind, counter, location);
    return big(gpu, question, out);
}
static int many(device gpu, const char *question, unsigned *out, int numbers) {
    int code;
    char *rest = (char *)answer(gpu, question, &code);
    for (int i = 0; rest && i < numbers; i++) out[i] = (unsigned)strtoul(rest, &rest, 10);
    return code;
}
int nvmlDeviceGetRowRemapperHistogram(device gpu, unsigned out[5]) {
    return many(gpu, "nvmlDeviceGetRowRemapperHistogram", out, 5);
}
int nvmlDeviceGetRepairStatus(device gpu, unsigned out[3]) { return many(gpu, "nvmlDeviceGetRepairStatus", out + 1, 2); }
int nvmlDeviceGetUnrepairableMemoryFlag_v1(device gpu, unsigned out[2]) {
    return number(gpu, "nvmlDeviceGetUnrepairableMemoryFlag_v1", out + 1);
}
int nvmlDeviceValidateInforom(device gpu) {
    int code;
    answer(gpu, "nvmlDeviceValidateInforom", &code);
    return code;
}
int nvmlDeviceGetGspFirmwareVersion(device gpu, char *out) {
    return text(gpu, "nvmlDeviceGetGspFirmwareVersion", out, 0x40);
}
int nvmlDeviceGetGspFirmwareMode(device gpu, unsigned *now, unsigned *usual) {
    return two(gpu, "nvmlDeviceGetGspFirmwareMode", "%u %u", now, usual);
}
/* What it says: threshold, parity, SEC-DED, both since the driver was loaded. */
struct sram { unsigned version; unsigned long long numbers[11]; unsigned threshold; };
int nvmlDeviceGetSramEccErrorStatus(device gpu, struct sram *out) {
    unsigned said[5] = {0};
    int code = many(gpu, "nvmlDeviceGetSramEccErrorStatus", said, 5);
    if (code) return code;
    out->threshold = said[0];
    out->numbers[0] = said[1], out->numbers[1] = said[2], out->numbers[3] = said[3], out->numbers[4] = said[4];
    return SUCCESS;
}
int nvmlDeviceGetMigMode(device gpu, unsigned *now, unsigned *then) {
    return two(gpu, "nvmlDeviceGetMigMode", "%u %u", now, then);
}
/* What it says: state, status, health mask, health summary. */
struct fabric { unsigned version; unsigned char uuid[16]; int status; unsigned clique; unsigned char state; unsigned mask; unsigned char summary; };
int nvmlDeviceGetGpuFabricInfoV(device gpu, struct fabric *out) {
    int code;
    unsigned state, status, mask, summary, clique;
    const char *said = answer(gpu, "nvmlDeviceGetGpuFabricInfoV", &code);
    if (said && sscanf(said, "%u %u %u %u %u", &state, &status, &mask, &summary, &clique) != 5) code = INVALID_ARGUMENT;
    if (code) return code;
    out->state = (unsigned char)state; out->status = (int)status; out->mask = mask; out->summary = (unsigned char)summary; out->clique = clique;
    return SUCCESS;
}

int nvmlDeviceGetP2PStatus(device one, device other, int kind, int *out) {
    char question[64];
    snprintf(question, sizeof question, "nvmlDeviceGetP2PStatus/%ld/%d", (long)(intptr_t)other - 1, kind);
    return number(one, question, (unsigned *)out);
}

struct temperature { unsigned version; int sensor, celsius; };
int nvmlDeviceGetTemperatureV(device gpu, struct temperature *out) {
    return with(gpu, "nvmlDeviceGetTemperatureV", out->sensor, (unsigned *)&out->celsius);
}
struct margin { unsigned version; int celsius; };
int nvmlDeviceGetMarginTemperature(device gpu, struct margin *out) {
    return number(gpu, "nvmlDeviceGetMarginTemperature", (unsigned *)&out->celsius);
}
int nvmlDeviceGetPowerManagementLimitConstraints(device gpu, unsigned *least, unsigned *most) {
    return two(gpu, "nvmlDeviceGetPowerManagementLimitConstraints", "%u %u", least, most);
}
int nvmlDeviceGetUtilizationRates(device gpu, unsigned out[2]) {
    return two(gpu, "nvmlDeviceGetUtilizationRates", "%u %u", out, out + 1);
}
int nvmlDeviceGetViolationStatus(device gpu, int policy, unsigned long long out[2]) {
    char question[64];
    snprintf(question, sizeof question, "nvmlDeviceGetViolationStatus/%d", policy);
    return two(gpu, question, "%llu %llu", out, out + 1);
}

struct memory { unsigned version; unsigned long long total, reserved, free, used; };
int nvmlDeviceGetMemoryInfo_v2(device gpu, struct memory *out) {
    int code;
    char question[64];
    snprintf(question, sizeof question, "nvmlDeviceGetMemoryInfo/%u", out->version);
    const char *said = answer(gpu, question, &code);
    if (said && sscanf(said, "%llu %llu %llu %llu", &out->total, &out->reserved, &out->free, &out->used) != 4)
        code = INVALID_ARGUMENT;
    return code;
}

struct field { uint32_t id, scope; int64_t at, latency; int32_t type, code; union { uint64_t number; double real; } value; };
int nvmlDeviceGetFieldValues(device gpu, int fields, struct field *out) {
    for (int i = 0; i < fields; i++) {
        char question[32];
        const char *said;
        if (out[i].scope) snprintf(question, sizeof question, "field/%u/%u", out[i].id, out[i].scope);
        else snprintf(question, sizeof question, "field/%u", out[i].id);
        said = answer(gpu, question, &out[i].code);
        if (!said) continue;
        char *rest;
        out[i].type = (int)strtol(said, &rest, 10);
        if (out[i].type == 0) out[i].value.real = atof(rest);
        else out[i].value.number = *rest && rest[1] == '-' ? (uint64_t)atoll(rest) : strtoull(rest, NULL, 10);
    }
    return SUCCESS;
}

struct process { unsigned pid; unsigned long long used; unsigned gpu_instance, compute_instance; };
static int processes(device gpu, const char *question, unsigned *room, struct process *out) {
    int code;
    unsigned found = 0;
    const char *said = answer(gpu, question, &code);
    for (; said && *said; found++) {
        char *rest;
        unsigned pid = (unsigned)strtoul(said, &rest, 10);
        unsigned long long used = rest[1] == '-' ? ~0ULL : strtoull(rest + 1, NULL, 10);
        if (out && found < *room) out[found] = (struct process){pid, used, ~0U, ~0U};
        said = strchr(said, ' ');
        said = said ? said + 1 : "";
    }
    if (code) return code;
    if (found > *room || (found && !out)) code = INSUFFICIENT_SIZE;
    *room = found;
    return code;
}
#define PROCESSES(name) int name(device gpu, unsigned *room, struct process *out) { return processes(gpu, #name, room, out); }
PROCESSES(nvmlDeviceGetComputeRunningProcesses_v3)
PROCESSES(nvmlDeviceGetGraphicsRunningProcesses_v3)
PROCESSES(nvmlDeviceGetMPSComputeRunningProcesses_v3)
