/* ocelli search: an index of pictures, and what is in it that looks
 * like a text or a picture. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cli.h"

enum { MONTAGE_MOST = 1024 };           /* pictures: 32 x 32, 123 MB */

typedef struct searcher {
    cli *c;
    const char *out, *model, *image, *html, *montage;
    int dtype;                          /* 0: f32, 1: int8 */
    int64_t top, batch;                 /* batch 0: not given */
} searcher;

/* ---- search index ------------------------------------------------------------------ */

static void on_progress(void *user, const oc_index_progress *p)
{
    cli *c = user;
    if (p->refused) {
        cli_error(c, "%s", p->refused);
        cli_input_bad(c, CLI_FAILED);
    }
    cli_progress(c, p->done, p->total, "pictures");
}

static void print_report(const searcher *s, const oc_index_report *r)
{
    long long pictures = (long long)(r->added + r->changed + r->kept);
    if (s->c->json)
        cli_print_json(s->c,
                       json_pack("{s:o, s:I, s:I, s:I, s:I, s:I, s:I}", "file",
                                 cli_json_text(s->out, strlen(s->out)), "pictures",
                                 (json_int_t)pictures, "added", (json_int_t)r->added,
                                 "changed", (json_int_t)r->changed, "kept",
                                 (json_int_t)r->kept, "removed", (json_int_t)r->removed,
                                 "refused", (json_int_t)r->refused));
    else
        cli_print(s->c,
                  "%s: %lld pictures: %lld added, %lld changed, %lld kept, %lld removed, "
                  "%lld not readable",
                  s->out, pictures, (long long)r->added, (long long)r->changed,
                  (long long)r->kept, (long long)r->removed, (long long)r->refused);
}

static bool is_folder(const char *path)
{
    struct stat st;
    return stat(path, &st) == 0 && S_ISDIR(st.st_mode);
}

/* index MODEL FOLDER, or index MODEL PICTURE... */
static void make_index(const searcher *s)
{
    cli *c = s->c;
    oc_index_report report = { 0 };
    bool folder = c->operand_count == 3 && is_folder(c->operands[2]);
    const oc_index_options o = {
        .size = sizeof o, .folder = folder ? c->operands[2] : NULL,
        .files = folder ? NULL : c->operands + 2,
        .file_count = folder ? 0 : (size_t)c->operand_count - 2, .int8 = s->dtype == 1,
        .batch = s->batch, .model_name = c->operands[1], .progress = on_progress,
        .progress_user = c, .report = &report,
    };
    oc_model *model = cli_open_model(c, c->operands[1], NULL);
    c->inputs = 2;                      /* one bad picture of many makes status 1 */
    oc_index_build(c->cx, model, s->out, &o);
    if (!cli_failed(c)) print_report(s, &report);
    oc_model_close(model);
}

/* ---- results ----------------------------------------------------------------------- */

/* Of a file that may be gone since; then a grey square. */
static oc_image *thumbnail(const searcher *s, const char *path, int64_t side)
{
    static const uint8_t grey[3] = { 0xd0, 0xd0, 0xd0 };
    const oc_image_options turned = { .size = sizeof turned, .exif_orientation = true };
    oc_image *image = oc_image_open(s->c->cx, path, &turned);
    if (!image) {
        cli_input_failed(s->c, NULL);
        image = oc_image_create(s->c->cx, 1, 1, grey);
    }
    oc_image *small = oc_image_fit(s->c->cx, image, side);
    oc_image_free(image);
    return small;
}

static void put_escaped(FILE *file, const char *text)
{
    for (; *text; text++) {
        switch (*text) {
        case '&': fputs("&amp;", file); break;
        case '<': fputs("&lt;", file); break;
        case '>': fputs("&gt;", file); break;
        case '"': fputs("&quot;", file); break;
        case '\'': fputs("&#39;", file); break;
        default: fputc(*text, file);
        }
    }
}

static void put_base64(FILE *file, const unsigned char *data, size_t size)
{
    static const char digits[] =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    for (size_t i = 0; i < size; i += 3) {
        unsigned x = (unsigned)data[i] << 16 |
                     (i + 1 < size ? (unsigned)data[i + 1] << 8 : 0) |
                     (i + 2 < size ? data[i + 2] : 0);
        fputc(digits[x >> 18], file);
        fputc(digits[x >> 12 & 63], file);
        fputc(i + 1 < size ? digits[x >> 6 & 63] : '=', file);
        fputc(i + 2 < size ? digits[x & 63] : '=', file);
    }
}

static const char page_head[] =
    "<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\n<title>";
static const char page_style[] =
    "</title>\n<style>\n"
    "body { font: 15px/1.4 system-ui, sans-serif; margin: 2em; }\n"
    "main { display: flex; flex-wrap: wrap; gap: 1em; }\n"
    "figure { margin: 0; width: 192px; }\n"
    "img { max-width: 192px; display: block; }\n"
    "figcaption { font-size: 12px; overflow-wrap: anywhere; color: #555; }\n"
    "</style></head><body>\n<h1>";

/* The pictures are in the page itself, so that it can be sent or moved. */
static void put_page(const searcher *s, FILE *file, const char *title,
                     const oc_index *index, const oc_hit *hits, size_t found)
{
    fputs(page_head, file);
    put_escaped(file, title);
    fputs(page_style, file);
    put_escaped(file, title);
    fputs("</h1>\n<main>\n", file);
    for (size_t i = 0; i < found && cli_go_on(s->c); i++) {
        const char *path = oc_index_path(index, hits[i].picture);
        size_t size = 0;
        oc_image *image = thumbnail(s, path, 192);
        char *png = oc_image_png(s->c->cx, image, &size);
        fputs("<figure><img alt=\"\" src=\"data:image/png;base64,", file);
        if (png) put_base64(file, (const unsigned char *)png, size);
        fprintf(file, "\"><figcaption>%.4f ", (double)hits[i].score);
        put_escaped(file, path);
        fputs("</figcaption></figure>\n", file);
        oc_string_free(png);
        oc_image_free(image);
    }
    fputs("</main>\n</body></html>\n", file);
}

/* A new file beside `path`, which is to take its place; NULL with errno. */
static FILE *open_beside(const char *path, char *temp, size_t size)
{
    int n = snprintf(temp, size, "%s.%ld.tmp", path, (long)getpid());
    if (n < 0 || (size_t)n >= size) {
        errno = ENAMETOOLONG;
        return NULL;
    }
    int fd = open(temp, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
    return fd < 0 ? NULL : fdopen(fd, "wb");
}

/* Nothing half-written is ever found under its name. */
static void write_page(const searcher *s, const char *title, const oc_index *index,
                       const oc_hit *hits, size_t found)
{
    char temp[4096];
    struct stat st;
    /* Renaming over a device or a link (/dev/stdout) would take it from everybody. */
    if (lstat(s->html, &st) == 0 && !S_ISREG(st.st_mode)) {
        cli_error(s->c, "%s: expected a regular file, found a folder, a link or a device",
                  s->html);
        s->c->status = CLI_FAILED;
        return;
    }
    FILE *file = open_beside(s->html, temp, sizeof temp);
    bool good = file != NULL;
    if (file) {
        put_page(s, file, title, index, hits, found);
        good = !ferror(file);
        good = fclose(file) == 0 && good && cli_go_on(s->c) && rename(temp, s->html) == 0;
    }
    if (good) return;
    if (cli_go_on(s->c))
        cli_error(s->c, "%s: could not be written: %s", s->html, strerror(errno));
    s->c->status = CLI_FAILED;
    if (file) remove(temp);
}

/* Pictures in rows, the best first, each in the middle of its square. */
static void write_montage(const searcher *s, const oc_index *index, const oc_hit *hits,
                          size_t found)
{
    enum { SIDE = 192, GAP = 8, CELL = SIDE + GAP };
    size_t columns = 1;
    while (columns * columns < found) columns++;
    size_t rows = (found + columns - 1) / columns;
    size_t width = columns * CELL + GAP, height = rows * CELL + GAP;
    uint8_t *canvas = malloc(width * height * 3);
    if (!canvas) {
        cli_error(s->c, "%s: out of memory", s->montage);
        s->c->status = CLI_LIMIT;
        return;
    }
    memset(canvas, 255, width * height * 3);
    for (size_t i = 0; i < found; i++) {
        oc_image *image = thumbnail(s, oc_index_path(index, hits[i].picture), SIDE);
        size_t w = (size_t)oc_image_width(image), h = (size_t)oc_image_height(image);
        size_t x = i % columns * CELL + GAP + (SIDE - w) / 2;
        size_t y = i / columns * CELL + GAP + (SIDE - h) / 2;
        for (size_t row = 0; image && row < h; row++)
            memcpy(canvas + ((y + row) * width + x) * 3,
                   oc_image_pixels(image) + row * w * 3, w * 3);
        oc_image_free(image);
    }
    oc_image *whole = oc_image_create(s->c->cx, (int64_t)width, (int64_t)height, canvas);
    oc_image_save(s->c->cx, whole, s->montage);
    oc_image_free(whole);
    free(canvas);
    cli_failed(s->c);
}

static void print_hits(const searcher *s, const oc_index *index, const oc_hit *hits,
                       size_t found)
{
    for (size_t i = 0; i < found; i++) {
        const char *path = oc_index_path(index, hits[i].picture);
        if (s->c->json)
            cli_print_json(s->c, json_pack("{s:f, s:o}", "score", (double)hits[i].score,
                                           "file", cli_json_text(path, strlen(path))));
        else cli_print(s->c, "%.4f  %s", (double)hits[i].score, path);
    }
}

/* ---- search ------------------------------------------------------------------------ */

/* Options that mean nothing here are not passed over in silence. */
static bool options_fit(const searcher *s, bool makes)
{
    if (makes && (s->image || s->model || s->html || s->montage))
        cli_usage(s->c, "--image, --model, --html and --montage are for an index that is "
                        "there");
    else if (!makes && (s->out || s->dtype || s->batch))
        cli_usage(s->c, "--out, --dtype and --batch are for search index");
    else if (s->montage && s->top > MONTAGE_MOST)
        cli_usage(s->c, "--montage: expected --top of at most %d, found %lld",
                  MONTAGE_MOST, (long long)s->top);
    return s->c->status == CLI_DONE;
}

static void find(const searcher *s)
{
    cli *c = s->c;
    c->inputs = 2;                      /* a picture that is gone makes status 1 */
    const char *text = c->operand_count > 1 ? c->operands[1] : NULL;
    const oc_image_options turned = { .size = sizeof turned, .exif_orientation = true };
    oc_index *index = oc_index_open(c->cx, c->operands[0], NULL);
    const char *name = s->model ? s->model : oc_index_model_name(index);
    oc_model *model = index ? cli_open_model(c, name, NULL) : NULL;
    oc_image *image = s->image ? oc_image_open(c->cx, s->image, &turned) : NULL;
    size_t top = (size_t)s->top < oc_index_count(index) ? (size_t)s->top
                                                        : oc_index_count(index);
    oc_hit *hits = malloc((top + 1) * sizeof *hits);
    size_t found = !hits ? 0
                   : image ? oc_index_search_image(c->cx, index, model, image, top, hits)
                           : oc_index_search_text(c->cx, index, model, text, top, hits);
    if (!cli_failed(c)) {
        print_hits(s, index, hits, found);
        if (s->html) write_page(s, text ? text : s->image, index, hits, found);
        if (s->montage) write_montage(s, index, hits, found);
    } else if (index && !model && !s->model) {
        cli_error(c, "the index names that model; --model names where it is now");
    }
    free(hits);
    oc_image_free(image);
    oc_model_close(model);
    oc_index_close(index);
}

int command_search(cli *c)
{
    searcher s = { .c = c, .top = 5 };
    const cli_option options[] = {
        { "out", CLI_OUT, &s.out, "FILE",
          "index: the file to make, or to bring up to date", 0, 0, 0 },
        { "dtype", CLI_CHOICE, &s.dtype, "f32|int8",
          "index: int8 takes half the room and a third of the time; f32", 0, 0, 0 },
        { "batch", CLI_NUMBER, &s.batch, "N",
          "index: pictures that are embedded together; 8", 1, 256, 0 },
        { "top", CLI_NUMBER, &s.top, "N", "pictures to find; 5", 1, 1000000, 0 },
        { "image", CLI_TEXT, &s.image, "FILE",
          "find what looks like this, instead of TEXT", 0, 0, 0 },
        { "model", CLI_TEXT, &s.model, "MODEL",
          "where the index's model is now", 0, 0, 0 },
        { "html", CLI_OUT, &s.html, "FILE", "a page with the pictures found", 0, 0, 0 },
        { "montage", CLI_OUT, &s.montage, "FILE",
          "a PNG with the pictures found", 0, 0, 0 },
        CLI_MODEL_OPTIONS(c),
        { 0 }
    };
    if (!cli_begin(c, options, 1, -1)) return c->status;
    bool makes = strcmp(c->operands[0], "index") == 0;
    if (!options_fit(&s, makes)) return c->status;
    if (makes) {
        if (c->operand_count < 3 || !s.out)
            return cli_usage(c, "expected index MODEL FOLDER --out FILE");
        make_index(&s);
    } else if (c->operand_count > 2 || (c->operand_count == 2) == (s.image != NULL)) {
        return cli_usage(c, "expected INDEX and either TEXT or --image FILE");
    } else {
        find(&s);
    }
    return cli_end(c);
}
