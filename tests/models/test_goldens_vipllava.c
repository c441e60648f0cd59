/* ViP-LLaVA and Llama: tools/goldens/make_vipllava.py. */
#include "goldens.h"

int main(void) { return check_goldens("INDEX-vipllava.txt", 70); }
