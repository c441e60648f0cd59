/* Shapes to coverage, by cairo. Nothing else of the library knows of it. */
#include "image/overlay.h"

#include "base/context.h"

#ifdef OCELLI_CAIRO

#include <math.h>

#include <cairo.h>

static const double pi = 3.14159265358979323846;

/* ---- paths ------------------------------------------------------------------------- */

/* Without a point before it the first cairo_line_to is a cairo_move_to. */
static void polyline(cairo_t *cr, const oci_outline *o)
{
    for (size_t i = 0; i < o->count; i++)
        cairo_line_to(cr, o->xy[2 * i], o->xy[2 * i + 1]);
}

/* The line runs inside the box, as Pillow's does, so that a box along the picture's edge
 * is seen whole. One too narrow for two lines is full. */
static void box(cairo_t *cr, const oci_outline *o)
{
    double x = fmin(o->xy[0], o->xy[2]), y = fmin(o->xy[1], o->xy[3]);
    double w = fabs(o->xy[2] - o->xy[0]), h = fabs(o->xy[3] - o->xy[1]), line = o->width;
    cairo_rectangle(cr, x, y, w, h);
    if (w > 2 * line && h > 2 * line)
        cairo_rectangle(cr, x + line, y + line, w - 2 * line, h - 2 * line);
    cairo_fill(cr);
}

static void oval(cairo_t *cr, double x, double y, double rx, double ry)
{
    cairo_save(cr);
    cairo_new_sub_path(cr);
    cairo_translate(cr, x, y);
    cairo_scale(cr, rx, ry);
    cairo_arc(cr, 0, 0, 1, 0, 2 * pi);
    cairo_restore(cr);
}

static void ellipse(cairo_t *cr, const oci_outline *o)
{
    double x = (o->xy[0] + o->xy[2]) / 2, y = (o->xy[1] + o->xy[3]) / 2;
    double rx = fabs(o->xy[2] - o->xy[0]) / 2, ry = fabs(o->xy[3] - o->xy[1]) / 2;
    oval(cr, x, y, rx, ry);
    if (rx > o->width && ry > o->width) oval(cr, x, y, rx - o->width, ry - o->width);
    cairo_fill(cr);
}

/* From the tail to the tip; the head's sides lie at 60 degrees to the shaft, as in
 * ViP-LLaVA's drawings, so that it reaches back by half their length. */
static void arrow(cairo_t *cr, const oci_outline *o)
{
    double x = o->xy[2], y = o->xy[3];
    double back = atan2(o->xy[1] - y, o->xy[0] - x), side = o->head;
    cairo_move_to(cr, o->xy[0], o->xy[1]);
    cairo_line_to(cr, x + side / 2 * cos(back), y + side / 2 * sin(back));
    cairo_stroke(cr);
    cairo_move_to(cr, x, y);
    cairo_line_to(cr, x + side * cos(back + pi / 3), y + side * sin(back + pi / 3));
    cairo_line_to(cr, x + side * cos(back - pi / 3), y + side * sin(back - pi / 3));
    cairo_close_path(cr);
    cairo_fill(cr);
}

static void trace(cairo_t *cr, const oci_outline *o)
{
    /* Of two boxes or ovals, one in the other, the inner one is then a hole. */
    cairo_set_fill_rule(cr, CAIRO_FILL_RULE_EVEN_ODD);
    cairo_set_line_width(cr, o->width);
    cairo_set_line_join(cr, CAIRO_LINE_JOIN_ROUND);
    cairo_set_line_cap(cr, CAIRO_LINE_CAP_ROUND);
    switch (o->shape) {
    case OC_MARK_BOX: box(cr, o); break;
    case OC_MARK_ELLIPSE: ellipse(cr, o); break;
    case OC_MARK_ARROW: arrow(cr, o); break;
    case OC_MARK_POINT:
        oval(cr, o->xy[0], o->xy[1], o->width, o->width);
        cairo_fill(cr);
        break;
    case OC_MARK_SCRIBBLE:
        polyline(cr, o);
        cairo_stroke(cr);
        break;
    case OC_MARK_TRIANGLE: case OC_MARK_CONTOUR:
        polyline(cr, o);
        cairo_close_path(cr);
        cairo_stroke(cr);
        break;
    case OC_MARK_MASK:
        polyline(cr, o);
        cairo_close_path(cr);
        cairo_fill(cr);
        break;
    }
}

oc_status oci_outline_cover(oc_context *cx, const oci_outline *outline,
                            const oci_tile *tile)
{
    cairo_surface_t *surface = cairo_image_surface_create_for_data(
        tile->coverage, CAIRO_FORMAT_A8, (int)tile->width, (int)tile->height,
        (int)tile->stride);
    cairo_t *cr = cairo_create(surface);
    cairo_translate(cr, (double)-tile->x, (double)-tile->y);
    trace(cr, outline);
    cairo_status_t status = cairo_status(cr);
    cairo_surface_flush(surface);
    cairo_destroy(cr);
    cairo_surface_destroy(surface);
    if (status == CAIRO_STATUS_SUCCESS) return cx->status;
    return oci_fail(cx, status == CAIRO_STATUS_NO_MEMORY ? OC_E_MEMORY : OC_E_FAILED,
                    "cairo: %s", cairo_status_to_string(status));
}

#else

oc_status oci_outline_cover(oc_context *cx, const oci_outline *outline,
                            const oci_tile *tile)
{
    (void)tile;
    return oci_fail(cx, OC_E_UNSUPPORTED,
                    "drawing a %s: this ocelli was built without cairo (OCELLI_CAIRO)",
                    oci_mark_name(outline->shape));
}

#endif
