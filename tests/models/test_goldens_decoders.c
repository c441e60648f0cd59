/* BERT, RoBERTa and kin, GPT-2, BART, mBART, DistilBERT: as decoders over a ViT, as
 * language models by themselves, as text encoders. tools/goldens/make_decoders.py. */
#include "goldens.h"

int main(void) { return check_goldens("INDEX-decoders.txt", 200); }
