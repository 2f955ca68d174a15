/* NVIDIA's driver library as it meets its callers: the same functions, structures and error
 * codes, and devices that the file named by FAKE_NVML describes, read again at every call:
 *
 *   gpus=2    cards; each has 80 GB, and is called NVIDIA H100 80GB HBM3
 *   mig=1     the first card is divided into two instances of 10 GB (places 0 and 2)
 *   lost=1    this card has fallen off the bus
 *   init=9    what nvmlInit answers, such as NVML_ERROR_DRIVER_NOT_LOADED
 *   hang=1    nothing answers any more
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { OK = 0, INVALID = 2, UNSUPPORTED = 3, NOT_FOUND = 6, SMALL = 7, LOST = 15 };

typedef struct { int card, instance; } Device; /* instance: -1 for the card itself */
typedef struct { unsigned long long total, free, used; } Memory;
typedef struct { unsigned int gpu, memory; } Rates;

static Device cards[16], instances[16][2];

static int state(const char *key, int otherwise) {
    char text[256] = " ", word[32];
    const char *name = getenv("FAKE_NVML");
    FILE *file = name ? fopen(name, "r") : NULL;
    if (!file) return otherwise;
    size_t size = fread(text + 1, 1, sizeof text - 2, file);
    fclose(file);
    text[size + 1] = 0;
    snprintf(word, sizeof word, " %s=", key);
    const char *found = strstr(text, word);
    return found ? atoi(found + strlen(word)) : otherwise;
}

static int begin(const Device *device) {
    while (state("hang", 0)) usleep(10000);
    return device && state("lost", -1) == device->card ? LOST : OK;
}

static int spell(char *buffer, unsigned int length, const char *text) {
    if (strlen(text) + 1 > length) return SMALL;
    strcpy(buffer, text);
    return OK;
}

static void identify(const Device *device, char *text) {
    if (device->instance < 0)
        sprintf(text, "GPU-%08d-1111-2222-3333-444444444444", device->card);
    else
        sprintf(text, "MIG-%08d-%04d-2222-3333-444444444444", device->card, device->instance);
}

int nvmlInitWithFlags(unsigned int flags) {
    (void)flags;
    int answer = begin(NULL);
    return answer ? answer : state("init", 0);
}

int nvmlInit_v2(void) { return nvmlInitWithFlags(0); }
int nvmlShutdown(void) { return OK; }

const char *nvmlErrorString(int code) {
    return code == LOST ? "GPU is lost" : code == 9 ? "Driver Not Loaded" : "an error of the fake";
}

int nvmlDeviceGetCount_v2(unsigned int *count) {
    *count = state("gpus", 0);
    return begin(NULL);
}

int nvmlDeviceGetHandleByIndex_v2(unsigned int index, Device **device) {
    if ((int)index >= state("gpus", 0)) return INVALID;
    cards[index] = (Device){index, -1};
    *device = &cards[index];
    return begin(*device);
}

int nvmlDeviceGetName(Device *device, char *name, unsigned int length) {
    int answer = begin(device);
    const char *text = device->instance < 0 ? "NVIDIA H100 80GB HBM3"
                                            : "NVIDIA H100 80GB HBM3 MIG 1g.10gb";
    return answer ? answer : spell(name, length, text);
}

int nvmlDeviceGetUUID(Device *device, char *uuid, unsigned int length) {
    char text[96];
    int answer = begin(device);
    identify(device, text);
    return answer ? answer : spell(uuid, length, text);
}

int nvmlDeviceGetMemoryInfo(Device *device, Memory *memory) {
    unsigned long long gb = 1000000000ull;
    memory->total = (device->instance < 0 ? 80 : 10) * gb;
    memory->used = (device->card + 1) * gb;
    memory->free = memory->total - memory->used;
    return begin(device);
}

int nvmlDeviceGetUtilizationRates(Device *device, Rates *rates) {
    if (device->instance >= 0) return UNSUPPORTED;
    *rates = (Rates){50 + device->card, 10};
    return begin(device);
}

int nvmlDeviceGetMigMode(Device *device, unsigned int *current, unsigned int *pending) {
    *current = *pending = device->card == 0 && state("mig", 0);
    return begin(device);
}

int nvmlDeviceGetMaxMigDeviceCount(Device *device, unsigned int *count) {
    *count = 7;
    return begin(device);
}

int nvmlDeviceGetMigDeviceHandleByIndex(Device *device, unsigned int index, Device **instance) {
    if (index != 0 && index != 2) return NOT_FOUND;
    instances[device->card][index / 2] = (Device){device->card, index};
    *instance = &instances[device->card][index / 2];
    return begin(device);
}

int nvmlDeviceGetHandleByUUID(const char *uuid, Device **device) {
    char text[96];
    for (int card = 0; card < state("gpus", 0); card++) {
        cards[card] = (Device){card, -1};
        Device *found[3] = {&cards[card], &instances[card][0], &instances[card][1]};
        instances[card][0] = (Device){card, 0};
        instances[card][1] = (Device){card, 2};
        for (int one = 0; one < 3; one++) {
            identify(found[one], text);
            if (!strcmp(text, uuid)) {
                *device = found[one];
                return begin(*device);
            }
        }
    }
    return NOT_FOUND;
}
