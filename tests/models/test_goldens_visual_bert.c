/* VisualBERT's classes: tools/goldens/make_visual_bert.py. */
#include "goldens.h"

int main(void) { return check_goldens("INDEX-visual-bert.txt", 129); }
