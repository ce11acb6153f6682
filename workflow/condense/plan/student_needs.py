"""Operations of the trainings of students, by the settings that decide them."""

from collections.abc import Set
from functools import cache

from condense.config.settings import Images
from condense.config.student import Student
from condense.config.students import StudentNetwork
from condense.config.study import Study
from condense.plan import sizes
from condense.plan.replicates import of_seed
from condense.plan.sizes import Workload
from condense.students.recipes import Course, by_images

BACKWARD = 2  # operations of a backward pass, in forward passes
Learning = tuple[str, str, str, int]  # student, method, budget, seed


def with_teachers(study: Study, learnt: Set[Learning]) -> set[Learning]:
    """Some trainings of students, and those of the students that teach them."""
    found = set(learnt)
    for student, _, _, seed in learnt:
        labels = study.students[student].labels
        for teacher in labels.teachers:
            if teacher in study.students:
                whole = of_seed(study.methods, labels.trained_on, seed)
                found.add((teacher, whole, study.budget_of(labels.trained_on, ""), seed))
    return found


def learning_operations(
    study: Study, name: str, per_class: float, classes: int, images: int
) -> tuple[int, float, int]:
    """Views of a student's training, operations of training, labelling and examination, and parameters."""
    student = study.students[name]
    course = Course.of(student.training, round(per_class * classes), classes)
    views = round(course.epochs * per_class * classes)
    size = student_size(student, classes)
    labels = student.labels
    count = len(labels.teachers)
    if labels.teacher_count is not None:
        count = by_images(labels.teacher_count, per_class)
    taught = sum(_teacher(study, teacher, classes) for teacher in labels.teachers[:count])
    seen = views if labels.view == "augmented" else round(per_class * classes)
    examined = sum(course.evaluates(done) for done in range(1, course.epochs + 1))
    held = _held_out(study.images, images)
    operations = views * (1 + BACKWARD) * size.operations + seen * taught + examined * held * size.operations
    again = student.trainings
    return again * views, again * operations, again * size.numbers


def student_size(student: Student, classes: int) -> Workload:
    """Parameters of a student, and the operations of a forward pass."""
    return _student_size(student.network, student.resolution, classes)


@cache
def _student_size(network: StudentNetwork, side: int, classes: int) -> Workload:
    from condense.students.networks import build

    with sizes.META:
        model = build(network, side, classes).eval()
    _, operations = sizes.count(model, sizes.image(side))
    return Workload(sum(value.numel() for value in model.parameters()), operations)


def _teacher(study: Study, name: str, classes: int) -> float:
    """Operations of a teacher on one image."""
    if name in study.students:
        return student_size(study.students[name], classes).operations
    return sizes.encoder_size(study.encoders[name]).operations


def _held_out(images: Images, counted: int) -> int:
    """Validation images; ASSUME: a root of its own, which is not looked into, has as ImageNet's 1 for 26."""
    if isinstance(images.validation, float):
        return round(counted * images.validation / (1 - images.validation))
    return round(counted / 26)
