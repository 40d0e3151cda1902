"""Makes the image of the example pod, one OCI archive: example_image.py OUT.tar IMAGE PROGRAM"""
import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "lab.d"))
sys.dont_write_bytecode = True
from make_images import Layer, OciArchive  # noqa: E402


def main(out, image, program):
    layer = Layer()
    layer.program("counter", program)
    archive = OciArchive()
    archive.add_image(image, [layer.bytes()], ["/counter"])
    archive.write(out)


main(*sys.argv[1:])
