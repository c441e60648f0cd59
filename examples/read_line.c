/* Reads a picture of one printed line: cc read_line.c
 * $(pkg-config --cflags --libs ocelli) */
#include <ocelli.h>
#include <stdio.h>

int main(int argc, char **argv)
{
    oc_context *cx = oc_context_create(NULL);
    oc_model *model = oc_model_open(cx, "printed-line-ocr", NULL);
    oc_image *image = oc_image_open(cx, argc > 1 ? argv[1] : "-", NULL);
    oc_texts *texts = oc_read(cx, model, &image, 1, NULL);
    /* No check so far: after the first failure every call does nothing,
     * and it is kept. */
    oc_status status = oc_context_status(cx);
    if (status == OC_OK) puts(oc_texts_get(texts, 0)->text);
    else fprintf(stderr, "read_line: %s\n", oc_context_message(cx));

    oc_texts_free(texts);
    oc_image_free(image);
    oc_model_close(model);
    oc_context_free(cx);
    return oc_status_exit_code(status);
}
