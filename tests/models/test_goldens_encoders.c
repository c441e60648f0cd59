/* DeiT, BEiT, Swin, DonutSwin, alone and before a decoder:
 * tools/goldens/make_encoders.py. */
#include "goldens.h"

int main(void) { return check_goldens("INDEX-encoders.txt", 81); }
