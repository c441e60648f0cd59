/* ViT, TrOCR and their pair, with every option of greedy search:
 * tools/goldens/make_models.py. */
#include "goldens.h"

int main(void) { return check_goldens("INDEX.txt", 236); }
