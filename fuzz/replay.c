/* Feeds files to a fuzz target without libFuzzer, so that every compiler and sanitizer
 * runs the corpora: replay FILE-OR-FOLDER…. Each file is given as it is, then cut short
 * and with single bytes changed, the same way every time. */
#include <dirent.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

enum { CUTS = 16, CHANGES = 32, MAX_PATH = 4096 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* A block of exactly `size` bytes, so that AddressSanitizer sees one byte too far. */
static void feed(const uint8_t *data, size_t size)
{
    uint8_t *copy = malloc(size ? size : 1);
    if (!copy) exit(2);
    if (size) memcpy(copy, data, size);
    LLVMFuzzerTestOneInput(copy, size);
    free(copy);
}

static void feed_variants(uint8_t *data, size_t size)
{
    feed(data, size);
    if (size == 0) return;
    for (size_t i = 0; i < CUTS; i++) feed(data, size * i / CUTS);
    feed(data, size - 1);

    uint64_t state = size;                  /* Knuth's MMIX generator; any would do */
    for (int i = 0; i < CHANGES; i++) {
        state = state * 6364136223846793005u + 1442695040888963407u;
        uint8_t *byte = &data[(state >> 24) % size], old = *byte;
        *byte = (uint8_t)(state >> 56);
        feed(data, size);
        *byte = old;
    }
}

static int replay_file(const char *path)
{
    FILE *file = fopen(path, "rb");
    struct stat info;
    if (!file || fstat(fileno(file), &info) != 0) {
        perror(path);
        exit(2);
    }
    size_t size = (size_t)info.st_size;
    uint8_t *data = malloc(size ? size : 1);
    if (!data || fread(data, 1, size, file) != size) {
        fprintf(stderr, "%s: could not be read\n", path);
        exit(2);
    }
    fclose(file);
    feed_variants(data, size);
    free(data);
    return 1;
}

static int replay(const char *path)
{
    DIR *folder = opendir(path);
    if (!folder) return replay_file(path);
    int files = 0;
    for (struct dirent *entry; (entry = readdir(folder)) != NULL;) {
        char inner[MAX_PATH];
        if (entry->d_name[0] == '.') continue;
        int n = snprintf(inner, sizeof inner, "%s/%s", path, entry->d_name);
        if (n > 0 && n < MAX_PATH) files += replay_file(inner);
    }
    closedir(folder);
    return files;
}

int main(int argc, char **argv)
{
    int files = 0;
    for (int i = 1; i < argc; i++) files += replay(argv[i]);
    printf("%d files replayed, each whole, cut and changed\n", files);
    return files > 0 ? 0 : 1;               /* an empty corpus proves nothing */
}
