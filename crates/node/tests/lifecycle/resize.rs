use serde_json::{Value, json};

use crate::support::{World, pod, stops_after};

fn one(policy: &str) -> Value {
    let resize = json!([{ "resourceName": "memory", "restartPolicy": policy }]);
    let resources = json!({ "requests": { "cpu": "1", "memory": "1Gi" } });
    pod(
        json!([{ "name": "a", "image": "i", "resources": resources, "resizePolicy": resize }]),
        json!({}),
    )
}

fn resize(world: &mut World, resource: &str, amount: &str) {
    world.change(|object| {
        object["spec"]["containers"][0]["resources"]["requests"][resource] = json!(amount);
        object["metadata"]["generation"] = json!(2);
    });
}

#[test]
fn a_running_container_grows_in_place() {
    let mut world = World::new(one("NotRequired"));
    world.run(5);
    assert_eq!(world.container("a")["allocatedResources"]["cpu"], "1");
    resize(&mut world, "cpu", "2");
    world.run(1);
    assert_eq!(world.log(), ["start a#0", "resize a"]);
    let told = world.container("a");
    assert_eq!(told["allocatedResources"]["cpu"], "2");
    assert_eq!(told["resources"]["requests"]["cpu"], "2");
    for ty in ["PodResizePending", "PodResizeInProgress"] {
        assert!(world.condition(ty).is_null(), "{ty}");
    }
}

#[test]
fn a_resize_waits_for_room_and_says_so() {
    let mut world = World::new(one("NotRequired"));
    world.run(5);
    world.runtime.no_room = true;
    resize(&mut world, "cpu", "20");
    world.run(10);
    let pending = world.condition("PodResizePending");
    assert_eq!(
        (&pending["reason"], &pending["message"]),
        (&json!("Deferred"), &json!("not enough cpu"))
    );
    assert_eq!(world.container("a")["resources"]["requests"]["cpu"], "1");
    world.runtime.no_room = false;
    world.run(60);
    assert!(world.condition("PodResizePending").is_null());
    assert_eq!(world.container("a")["resources"]["requests"]["cpu"], "20");
}

#[test]
fn a_resize_that_is_taken_back_is_forgotten() {
    let mut world = World::new(one("NotRequired"));
    world.run(5);
    world.runtime.no_room = true;
    resize(&mut world, "cpu", "20");
    world.run(1);
    resize(&mut world, "cpu", "1");
    world.run(1);
    assert!(world.condition("PodResizePending").is_null());
}

#[test]
fn a_policy_may_ask_for_a_restart() {
    let mut world = World::new(one("RestartContainer")).behave("a", stops_after(3));
    world.run(5);
    resize(&mut world, "memory", "2Gi");
    world.run(1);
    assert!(world.is("PodResizeInProgress"));
    world.run(5);
    assert_eq!(
        world.log(),
        ["start a#0", "signal a#0", "exit a#0", "start a#1"]
    );
    assert_eq!(
        world.container("a")["resources"]["requests"]["memory"],
        "2Gi"
    );
    assert!(world.condition("PodResizeInProgress").is_null());
}
