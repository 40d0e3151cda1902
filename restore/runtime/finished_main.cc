// cryopod-finished: takes the place of a container's own program when that had ended well before
// the checkpoint. It needs nothing of the container: linked statically, it runs in an empty image,
// on a read-only root, as any user, under any filter.
int main() { return 0; }
