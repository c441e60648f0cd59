/* The files of a checkpoint folder that are not its config and not its weights:
 * what is read by tokenizers, processors and generation, and what a copy of the
 * folder has to take along. */
#ifndef OCI_IO_COMPANIONS_H
#define OCI_IO_COMPANIONS_H

static const char *const oci_companions[] = {
    "generation_config.json", "preprocessor_config.json", "processor_config.json",
    "regions.json", "tokenizer.json", "tokenizer_config.json", "special_tokens_map.json",
    "added_tokens.json", "vocab.json", "merges.txt", "vocab.txt",
    "sentencepiece.bpe.model", "tokenizer.model", "spiece.model",
};
enum { OCI_COMPANIONS = sizeof oci_companions / sizeof *oci_companions };

#endif
