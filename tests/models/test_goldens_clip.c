/* CLIP, whole and in parts, and its vision tower before a decoder:
 * tools/goldens/make_clip.py. */
#include "goldens.h"

int main(void) { return check_goldens("INDEX-clip.txt", 46); }
